"""`vmferry-lab` as a user runs it: up, up again after something died, and down without a trace."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from kernel_leftovers import left_of

from half_made_labs import half_made_lab
from vmferry_lab import processes
from vmferry_lab.controlplane.commands import APISERVER
from vmferry_lab.guests.image import GuestSpec
from vmferry_lab.hosts.kinds import HostsKind
from vmferry_lab.lab import Lab

PATIENCE = 60.0


def quiet(_text):
    pass


@pytest.fixture(scope="module")
def small_lab():
    """A lab with one host."""
    lab = Lab(Path(tempfile.mkdtemp(prefix="vmf-")))
    try:
        lab.up(hosts=1, say=quiet)
        yield lab
    finally:
        lab.down()
        assert left_of(lab.directory) == []
        assert not lab.directory.exists()


def command(lab, *words):
    done = subprocess.run(
        [sys.executable, "-m", "vmferry_lab", "--dir", str(lab.directory), *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout + done.stderr


def test_up_again_says_so(small_lab):
    assert command(small_lab, "up").startswith(f"{small_lab.directory}: already up\n")


def test_up_again_starts_what_died(small_lab):
    small_lab.components.stop("agent-node-a", kill=True)
    small_lab.host("node-a").kill_daemon()
    said = command(small_lab, "up")
    assert said.startswith(f"{small_lab.directory}: already up; started libvirtd-node-a, agent-node-a\n")
    assert "stopped" not in command(small_lab, "status")


def test_a_shell_gets_the_lab_s_kubectl_and_cluster(small_lab):
    lab = shlex.join([sys.executable, "-m", "vmferry_lab", "--dir", str(small_lab.directory), "env"])
    script = f'eval "$({lab})" && kubectl get nodes -o name && command -v kubectl && echo $VMFERRY_LAB_DIR'
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        env={"PATH": os.defpath, "HOME": os.environ["HOME"]},
    )
    kubectl = Path(sys.executable).parent / "kubectl"
    assert done.stdout.splitlines() == ["node/node-a", str(kubectl), str(small_lab.directory)]


def test_other_hosts_are_not_silently_left_out(small_lab):
    assert "a lab is up there already, with node-a (" in command(small_lab, "up", "--hosts", "2")


def test_a_host_whose_libvirtd_is_down_is_told_of_and_nothing_else_is_printed(small_lab):
    guest = small_lab.guest("db")
    guest.start(small_lab.host("node-a"), GuestSpec(name="db"))
    small_lab.host("node-a").kill_daemon()
    assert command(small_lab, "vm", "list") == "db  node-a does not answer\n"
    assert command(small_lab, "vm", "verdict", "db").startswith("db (node-a does not answer): intact")
    small_lab.start("libvirtd-node-a")
    assert command(small_lab, "vm", "list") == "db  running on node-a\n"
    assert command(small_lab, "vm", "remove", "db") == ""


@pytest.mark.parametrize("name", ["operator", "agent-node-a", "libvirtd-node-a", "kube-apiserver"])
def test_each_process_can_be_restarted(small_lab, name):
    (before,) = processes.of_component(small_lab.directory, name)
    assert command(small_lab, "restart", name, "--kill") == ""
    (after,) = processes.of_component(small_lab.directory, name)
    assert after != before


def test_a_dead_api_server_is_told_of_and_started_again(small_lab):
    small_lab.control_plane.stop([APISERVER], how=signal.SIGKILL)
    assert "kube-apiserver          stopped\n" in command(small_lab, "status")
    assert command(small_lab, "up").startswith(f"{small_lab.directory}: already up; started kube-apiserver\n")
    assert "stopped" not in command(small_lab, "status")


# a cluster's programs are not among those that `make setup` builds: tests/cluster/test_machine.py
@pytest.mark.parametrize("kind", [HostsKind.NODE, HostsKind.SESSION])
def test_down_leaves_nothing_even_of_a_lab_whose_creator_was_killed_half_way(kind):
    lab = half_made_lab(kind)
    assert processes.of_lab(lab.directory)
    lab.down()
    assert left_of(lab.directory) == []
    assert not lab.directory.exists()
