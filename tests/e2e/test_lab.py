"""The lab keeps its own promises: guests tell the truth, and nothing is left behind."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import libvirt
import libvirt_qemu
import psutil
import pytest
from asked_migration import PATIENCE

from vmferry_api.migrations import Phase
from vmferry_lab import processes
from vmferry_lab.guests.image import Pattern
from vmferry_lab.hosts.session import guests_of
from vmferry_lab.lab import Lab
from vmferry_lab.ports import free_ports
from vmferry_lab.until import until

LAST_PAGES = 0x7E00000
"""An address in the last megabytes of a guest of 128 MiB, which it writes once and then only checks."""


@pytest.mark.parametrize("pattern", Pattern)
def test_a_guest_of_each_pattern_arrives_intact(start_guest, policy, migrate, assert_runs_only_on, pattern):
    guest = start_guest(pattern=pattern)
    name = policy(maxDowntime="3s", bandwidth={"perMigration": "100Mi"})
    assert migrate(guest.name, policyRef={"name": name}).ends().status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")


def test_the_rate_of_a_guest_can_be_changed_while_it_runs(lab, start_guest):
    guest = start_guest()
    guest.set_rate(lab.hosts, 0)
    before = guest.verdict()
    after = until("ticks to go on", lambda: _ticked(guest, before.ticks + 100), timeout=PATIENCE)
    still = until("ticks to go on", lambda: _ticked(guest, after.ticks + 100), timeout=PATIENCE)
    assert still.pages_written == after.pages_written
    assert still.intact


def _ticked(guest, ticks):
    found = guest.verdict()
    return found if found.ticks >= ticks else None


def test_a_guest_notices_memory_that_changed_under_it(lab, start_guest):
    guest = start_guest()
    assert guest.verdict().intact
    (port,) = free_ports(1)
    connection = libvirt.open(lab.host("node-a").uri)
    try:
        domain = connection.lookupByName(guest.name)
        flag = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        libvirt_qemu.qemuMonitorCommand(domain, f"gdbserver tcp:127.0.0.1:{port}", flag)
        _overwrite(port, LAST_PAGES, b"\xde\xad\xbe\xef")
    finally:
        connection.close()
    until("the guest to notice", lambda: not guest.verdict().intact, timeout=PATIENCE)
    assert "memory errors" in str(guest.verdict())


def _overwrite(port: int, address: int, data: bytes) -> None:
    """Write to a guest's memory by QEMU's gdb server, and let the guest run on."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as gdb:
        for packet in (f"M{address:x},{len(data):x}:{data.hex()}", "D"):
            gdb.sendall(f"+${packet}#{sum(packet.encode()) % 256:02x}".encode())
            answer = b""
            while b"$OK#" not in answer:
                answer += gdb.recv(1024)


def _left_of(directory: Path) -> list[psutil.Process]:
    return processes.of_lab(directory) + guests_of(directory)


@pytest.fixture
def short_path(tmp_path_factory) -> Path:
    """A path short enough for sockets below it."""
    return tmp_path_factory.mktemp("l") / "x"


def test_down_leaves_nothing_even_of_a_lab_whose_creator_was_killed_half_way(short_path):
    lab = Lab(short_path)
    command = [sys.executable, "-m", "vmferry_lab", "--dir", str(short_path), "up", "--no-components"]
    creator = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until("a first process", lambda: processes.of_component(short_path, "etcd"), timeout=PATIENCE)
    creator.send_signal(signal.SIGKILL)
    creator.wait(timeout=10)
    assert _left_of(short_path)
    lab.down()
    assert _left_of(short_path) == []
    assert not short_path.exists()


def test_a_directory_that_is_no_lab_s_is_left_alone(tmp_path):
    (tmp_path / "precious").write_text("x")
    for act in ("up", "down"):
        done = subprocess.run(
            [sys.executable, "-m", "vmferry_lab", "--dir", str(tmp_path), act],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 1
        assert "no lab's directory" in done.stderr
        assert "Traceback" not in done.stderr
    assert (tmp_path / "precious").read_text() == "x"
