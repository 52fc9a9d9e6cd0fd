"""The lab's hosts and guests by themselves: real daemons and migrations, no Kubernetes, no vmferry."""

import shutil
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import libvirt
import libvirt_qemu
import pytest
from direct_migration import PATIENCE, Migration
from hopeless import HOPELESS_GUEST

from vmferry_lab import processes
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import GuestSpec, Pattern
from vmferry_lab.hosts.session import SessionHost
from vmferry_lab.hosts.strays import strays
from vmferry_lab.ports import free_ports
from vmferry_lab.until import until

MIB = 2**20
HOPELESS, ENOUGH = 300, 2000
"""Downtimes in ms; at the link's bandwidth the guests below need 1.3 s."""

_numbers = count(1)


@pytest.fixture(scope="module")
def hosts():
    directory = Path(tempfile.mkdtemp(prefix="vmf-"))
    directory.chmod(0o711)
    several = [SessionHost(name, directory) for name in ("node-a", "node-b")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(SessionHost.start, several))
    yield several
    for host in several:
        host.stop()
    assert strays(directory) == []
    shutil.rmtree(directory)


@pytest.fixture
def start(hosts):
    """Starts a guest on the first host."""
    started = []

    def begin(**asked):
        guest = Guest(f"vm-{next(_numbers)}", hosts[0].lab)
        started.append(guest)
        spec = GuestSpec(
            name=guest.name, **{**HOPELESS_GUEST, "memory": 256 * MIB, "cold": 16 * MIB, **asked}
        )
        guest.start(hosts[0], spec)
        return guest, spec

    yield begin
    for guest in started:
        guest.destroy(hosts)


def assert_arrived(guest, hosts):
    before = guest.verdict().ticks
    until("the guest to go on", lambda: guest.verdict().ticks > before + 100, timeout=PATIENCE)
    assert guest.states(hosts) == {"node-b": "running"}
    assert guest.is_persistent(hosts[1])
    assert guest.verdict().intact, guest.verdict()


@pytest.mark.parametrize("pattern", Pattern, ids=lambda pattern: pattern.name.lower())
def test_a_guest_outruns_its_link_until_it_may_stop_long_enough(hosts, start, pattern):
    guest, _ = start(pattern=pattern)
    migration = Migration(guest, *hosts, downtime=HOPELESS)
    migration.comes_to_pass(4)
    assert not migration.done
    migration.domain.migrateSetMaxDowntime(ENOUGH)
    migration.ends()
    assert_arrived(guest, hosts)


def test_post_copy_moves_a_guest_that_outruns_its_link(hosts, start):
    guest, _ = start(pattern=Pattern.RANDOM)
    migration = Migration(guest, *hosts, downtime=HOPELESS, flags=libvirt.VIR_MIGRATE_POSTCOPY)
    migration.comes_to_pass(2)
    migration.domain.migrateStartPostCopy()
    migration.ends()
    assert_arrived(guest, hosts)


def test_a_guest_slowed_down_while_it_migrates_converges_and_takes_its_rate_along(hosts, start):
    guest, _ = start()
    migration = Migration(guest, *hosts, downtime=HOPELESS)
    migration.comes_to_pass(3)
    assert not migration.done
    guest.set_rate(hosts, 5_000_000)
    migration.ends()
    assert_arrived(guest, hosts)
    assert guest.console.read_text().split("\n")[-2].split()[-1] == f"{5:08x}"


def test_memory_changed_behind_the_guests_back_is_told(hosts, start):
    guest, spec = start(memory=96 * MIB, working_set=32 * MIB, dirty_rate=0, cold=4 * MIB)
    assert guest.verdict().intact
    overwrite(hosts[0], guest, spec.cold_address)
    until("the guest to see it", lambda: guest.verdict().errors, timeout=PATIENCE)
    assert "1 memory errors" in str(guest.verdict())


def overwrite(host, guest, address):
    """Write a word into the memory of a guest, by QEMU's own debugger stub."""
    (port,) = free_ports(1)
    connection = libvirt.open(host.uri)
    hmp = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
    domain = connection.lookupByUUIDString(guest.uuid)
    libvirt_qemu.qemuMonitorCommand(domain, f"gdbserver tcp:127.0.0.1:{port}", hmp)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as debugger:
        for command in (f"M{address:x},4:deadbeef", "D"):
            debugger.sendall(f"${command}#{sum(command.encode()) % 256:02x}".encode())
            answer = b""
            while b"$OK#9a" not in answer:
                answer += debugger.recv(100)
            debugger.sendall(b"+")
    connection.close()


def test_a_guest_outlives_its_daemon(hosts, start):
    guest, _ = start(memory=96 * MIB, working_set=32 * MIB, dirty_rate=5_000_000)
    hosts[0].kill_daemon()
    before = guest.verdict().ticks
    until("the guest to go on", lambda: guest.verdict().ticks > before, timeout=PATIENCE)
    hosts[0].start()
    assert guest.states(hosts) == {"node-a": "running"}


@pytest.mark.parametrize("memory", [64 * MIB, 4096 * MIB], ids=lambda memory: f"{memory // MIB}Mi")
def test_guests_of_any_size_boot(start, memory):
    guest, _ = start(memory=memory, working_set=16 * MIB, cold=None)
    assert guest.verdict().intact


def test_starting_a_host_that_runs_changes_nothing(hosts):
    (before,) = processes.of_component(hosts[0].lab, "libvirtd-node-a")
    hosts[0].start()
    assert processes.of_component(hosts[0].lab, "libvirtd-node-a") == [before]


def test_what_is_left_is_found_without_any_record_and_only_what_is_the_labs(start, hosts, tmp_path):
    guest, _ = start(memory=96 * MIB, working_set=32 * MIB)
    found = strays(hosts[0].lab)
    names = [process.name() for process in found]
    assert names == ["libvirtd", "libvirtd", "qemu-system-x86_64"]
    assert guest.name in " ".join(found[-1].cmdline())
    assert {process.uids().real for process in found} != {0}
    assert strays(hosts[0].lab.parent) == []
    assert strays(tmp_path) == []


def test_a_lab_whose_record_is_lost_is_cleaned_by_its_strays():
    directory = Path(tempfile.mkdtemp(prefix="vmf-"))
    directory.chmod(0o711)
    try:
        host = SessionHost("node-x", directory)
        host.start()
        guest = Guest("vm-x", directory)
        guest.start(host, GuestSpec(name="vm-x", memory=64 * MIB, working_set=16 * MIB))
        found = strays(directory)
        assert len(found) == 2
        processes.stop(found)
        assert strays(directory) == []
        assert all(processes.has_ended(each) for each in found)
    finally:
        processes.stop(strays(directory))
        shutil.rmtree(directory)
