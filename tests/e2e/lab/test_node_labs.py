"""A lab of nodes as a user plays with it: what `vmferry-lab host` does, and where vmferry's agents run."""

import subprocess
import sys
from pathlib import Path

import pytest

from vmferry_lab import processes
from vmferry_lab.components import OPERATOR_NAME, agent_name
from vmferry_lab.until import until

PATIENCE = 60.0
NAMESPACES = ("mnt", "net", "pid", "uts")


def command(lab, *words):
    done = subprocess.run(
        [sys.executable, "-m", "vmferry_lab", "--dir", str(lab.directory), *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


def namespaces(process):
    return [Path(f"/proc/{process.pid}/ns/{name}").readlink() for name in NAMESPACES]


@pytest.fixture
def node(node_lab):
    """A node of the lab; it is well again after the test."""
    found = node_lab.node("node-b")
    yield found
    found.restore()
    node_lab.power_on("node-b")  # with its agent


def test_agents_run_in_their_nodes_and_the_operator_does_not(node_lab):
    for name in ("node-a", "node-b"):
        (agent,) = processes.of_component(node_lab.directory, agent_name(name))
        assert namespaces(agent) == namespaces(node_lab.node(name).first_process)
    (operator,) = processes.of_component(node_lab.directory, OPERATOR_NAME)
    assert namespaces(operator)[:2] == [Path(f"/proc/self/ns/{name}").readlink() for name in NAMESPACES[:2]]


def test_an_agent_reaches_the_api_server_while_the_data_link_is_cut(node_lab, node):
    node.cut()
    log = node_lab.components.log(agent_name("node-b"))
    before = log.stat().st_size
    node_lab.components.restart(agent_name("node-b"), kill=True)
    until("the agent to serve", lambda: b"serving node node-b" in log.read_bytes()[before:], timeout=PATIENCE)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["cut"], "data link cut"),
        (["cut", "--control-link"], "control link cut"),
        (["drop", "stream"], "stream dropped"),
        (["drop", "control"], "control dropped"),
        (["shape", "55M"], "data link carries 55 MB/s"),
        (["freeze"], "libvirtd frozen"),
        (["power-off"], "powered off"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_was_done_to_a_node_is_told_at_once_and_by_status(node_lab, node, words, fault):
    address = node.network.data_address("node-b")
    assert command(node_lab, "host", "node-b", *words) == f"node-b: node, {address}, {fault}\n"
    assert f"host        node-b                  node, {address}, {fault}\n" in command(node_lab, "status")


@pytest.mark.parametrize(
    "words", [["cut"], ["shape", "55M"], ["freeze"], ["cut", "--control-link"], ["heal"]]
)
def test_what_needs_power_is_refused_without(node_lab, node, words):
    node.power_off()
    said = command(node_lab, "host", "node-b", *words)
    assert said in ("Error: node-b is powered off\n", "Error: libvirtd of node-b does not run\n")


def test_power_brings_the_daemon_and_the_agent_back(node_lab, node):
    command(node_lab, "host", "node-b", "power-off")
    stopped = [name for name, runs in node_lab.process_states.items() if not runs]
    assert stopped == ["libvirtd-node-b", "agent-node-b"]
    said = command(node_lab, "host", "node-b", "power-on")
    assert said == f"node-b: node, {node.network.data_address('node-b')}\n"
    assert all(node_lab.process_states.values())


def test_up_again_gives_power_back(node_lab, node):
    node.power_off()
    assert "started libvirtd-node-b, agent-node-b\n" in command(node_lab, "up")
    assert all(node_lab.process_states.values())
