"""The agent as a process: how it begins, and that it ends."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from served_health import ask
from vmferry_lab.until import until

SOON = 5.0
"""Seconds within which it ends: no wait for libvirt or the API server is as short, and no busy machine so slow."""
PATIENCE = 30.0


@pytest.fixture
def hanging_libvirt(tmp_path):
    """A daemon that accepts and says nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "libvirt-sock"))
        listening.listen()
        yield f"qemu+unix:///session?socket={tmp_path}/libvirt-sock"


@pytest.fixture
def agent(tmp_path, hanging_libvirt, hanging_api_server):
    """An agent for which nothing works, as a process; and its log."""
    log = tmp_path / "log"
    command = [sys.executable, "-m", "vmferry_agent", "run", "--node", "node-a", "--health-port", "0"]
    command += ["--libvirt-uri", hanging_libvirt, "--connect-uri", hanging_libvirt]
    command += ["--health-address", "127.0.0.1"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stderr=output, env={**os.environ, "KUBECONFIG": str(hanging_api_server)}
        )
    try:
        until("the agent to serve", lambda: "serving node node-a" in log.read_text(), timeout=PATIENCE)
        yield process, log
    finally:
        process.kill()
        process.wait()


def test_while_nothing_answers_it_is_well_and_says_what_it_waits_for(agent):
    _, log = agent
    assert ask(log, "/healthz") == (200, "ok\n")
    status, text = ask(log, "/readyz")
    assert status == 503
    assert "source: the API server has not listed the migrations yet" in text
    assert "libvirt has not answered for 2 s" in text
    assert "vmferry_agent_watch_streams_begun_total" in ask(log, "/metrics")[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_good_time_though_libvirt_and_the_api_server_hang(agent, number):
    process, log = agent
    ask(log, "/readyz")  # has a thread wait for libvirt
    asked = time.monotonic()
    process.send_signal(number)
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - asked < SOON
    assert "stopping; migrations that run go on" in log.read_text()


def test_told_twice_it_leaves_at_once(agent, hanging_api_server):
    process, log = agent
    process.send_signal(signal.SIGTERM)
    until("the first to be heard", lambda: "stopping" in log.read_text(), timeout=PATIENCE)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) in {0, 128 + signal.SIGTERM}
