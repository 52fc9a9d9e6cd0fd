"""Hosts of kind node by themselves: real links, what can be done to them, and what is left of it all: nothing."""

import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import libvirt
import pytest
from direct_migration import PATIENCE, Migration
from hopeless import HOPELESS_GUEST
from kernel_leftovers import left_of

from vmferry_lab import processes
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import GuestSpec
from vmferry_lab.hosts.commands import run
from vmferry_lab.hosts.faults import Traffic
from vmferry_lab.hosts.kinds import check_nodes_possible
from vmferry_lab.hosts.networks import claim_network, remove_networks
from vmferry_lab.hosts.node import NodeHost, new_nodes
from vmferry_lab.hosts.strays import strays
from vmferry_lab.until import until

MIB = 2**20
HOPELESS, ENOUGH = 300, 2000
"""Downtimes in ms; the guests below need 1.3 s at 50 MiB/s."""
STILL = 2.0
"""Seconds in which a stream that is cut must not move; keepalive gives up after 3.5 s, where it looks at all."""
QUIET = {"dirty_rate": 2_000_000, "working_set": 8 * MIB}

_numbers = count(1)


@pytest.fixture
def directory():
    """A lab's directory, of which the kernel has nothing at the end."""
    check_nodes_possible()
    lab = Path(tempfile.mkdtemp(prefix="vmf-"))
    yield lab
    remove_networks(lab)
    shutil.rmtree(lab)
    assert left_of(lab) == []


@pytest.fixture(scope="module")
def nodes():
    """Two nodes."""
    check_nodes_possible()
    lab = Path(tempfile.mkdtemp(prefix="vmf-"))
    several = new_nodes(lab, ["node-a", "node-b"])
    with ThreadPoolExecutor() as pool:
        list(pool.map(NodeHost.start, several))
    yield several
    for node in several:
        node.stop()
    remove_networks(lab)
    shutil.rmtree(lab)
    assert left_of(lab) == []


@pytest.fixture
def two(nodes):
    """Both nodes; whatever a test has done to them is taken back."""
    yield nodes
    for node in nodes:
        node.restore()
        assert node.faults() == []


@pytest.fixture
def start(two):
    """Starts a guest on the first node."""
    started = []

    def begin(**asked):
        guest = Guest(f"vm-{next(_numbers)}", two[0].network.lab)
        started.append(guest)
        guest.start(two[0], GuestSpec(name=guest.name, **{**HOPELESS_GUEST, "cold": 16 * MIB, **asked}))
        return guest

    yield begin
    for node in two:
        node.restore()
    for guest in started:
        guest.destroy(two)


def comes_true(holds, seconds):
    """Whether something does within so many seconds."""
    try:
        until("what must not be", holds, timeout=seconds)
    except TimeoutError:
        return False
    return True


def assert_runs(guest, nodes, name):
    """It runs there and nowhere else, goes on, and lost nothing."""
    before = guest.verdict().ticks
    until("the guest to go on", lambda: guest.verdict().ticks > before + 100, timeout=PATIENCE)
    assert {host: state for host, state in guest.states(nodes).items() if state != "shut off"} == {
        name: "running"
    }
    assert guest.verdict().intact, guest.verdict()


def received(node):
    """Bytes that came in over a node's data link."""
    counter = "/sys/class/net/eth0/statistics/rx_bytes"
    return int(subprocess.check_output([*node.command(), "cat", counter], text=True, timeout=PATIENCE))


def state(guest, node):
    """State and reason, in libvirt's numbers."""
    connection = libvirt.open(node.uri)
    found = connection.lookupByUUIDString(guest.uuid).state()
    connection.close()
    return found


@pytest.mark.parametrize("encrypted", [False, True], ids=["tcp", "tls"])
def test_a_guest_moves_over_the_data_link(two, start, encrypted):
    guest = start(**QUIET)
    before = received(two[1])
    tls = {"flags": libvirt.VIR_MIGRATE_TLS} if encrypted else {"connect_uri": two[1].plain_connect_uri}
    Migration(guest, *two, downtime=ENOUGH, **tls).ends()
    assert received(two[1]) - before > 24 * MIB
    assert_runs(guest, two, "node-b")


def test_post_copy_moves_a_guest_whatever_the_machine_s_setting_is(two, start):
    assert two[0].post_copy.possible, two[0].post_copy.reason
    guest = start()
    migration = Migration(guest, *two, downtime=HOPELESS, flags=libvirt.VIR_MIGRATE_POSTCOPY)
    migration.comes_to_pass(2)
    migration.domain.migrateStartPostCopy()
    migration.ends()
    assert_runs(guest, two, "node-b")


def test_a_silent_cut_is_noticed_by_the_daemons_and_the_guest_runs_on(two, start):
    guest = start()
    migration = Migration(guest, *two, downtime=HOPELESS)
    migration.comes_to_pass(2)
    two[1].cut()
    assert two[1].faults() == ["data link cut"]
    assert "client socket is closed" in migration.fails()
    assert_runs(guest, two[:1], "node-a")
    two[1].heal()
    until("the target's half to be gone", lambda: "node-b" not in guest.states(two), timeout=PATIENCE)
    Migration(guest, *two, downtime=ENOUGH).ends()
    assert_runs(guest, two, "node-b")


def test_a_stream_that_is_dropped_stands_still_unnoticed_and_goes_on_when_it_is_healed(two, start):
    guest = start()
    migration = Migration(guest, *two, downtime=HOPELESS)
    migration.comes_to_pass(2)
    two[1].drop(Traffic.STREAM)

    def rests():
        before = migration.processed
        return None if comes_true(lambda: migration.processed != before, 1) else before

    before = until("what is on its way to be counted", rests, timeout=PATIENCE)
    assert not comes_true(lambda: migration.done or migration.processed != before, STILL)
    two[1].heal()
    until("the counters to move", lambda: migration.processed > before, timeout=PATIENCE)
    migration.domain.migrateSetMaxDowntime(ENOUGH)
    migration.ends()
    assert_runs(guest, two, "node-b")


def test_a_control_channel_that_is_dropped_ends_a_migration_whose_stream_is_fine(two, start):
    guest = start()
    migration = Migration(guest, *two, downtime=HOPELESS)
    migration.comes_to_pass(2)
    two[0].drop(Traffic.CONTROL)
    assert "client socket is closed" in migration.fails()
    assert_runs(guest, two[:1], "node-a")


def test_a_sharp_cut_ends_a_pre_copy_at_once(two, start):
    guest = start()
    migration = Migration(guest, *two, downtime=HOPELESS)
    migration.comes_to_pass(2)
    two[1].reset(Traffic.STREAM)
    assert migration.fails()
    assert_runs(guest, two, "node-a")


def test_a_post_copy_that_is_cut_sharply_can_be_resumed(two, start):
    guest = start()
    flags = libvirt.VIR_MIGRATE_POSTCOPY
    migration = Migration(guest, *two, downtime=HOPELESS, flags=flags)
    migration.comes_to_pass(2)
    migration.domain.migrateSetMaxSpeed(3, libvirt.VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY)
    migration.domain.migrateStartPostCopy()
    until("the target to run it", lambda: guest.states(two).get("node-b") == "running", timeout=PATIENCE)
    two[0].reset(Traffic.STREAM)
    migration.fails()
    assert state(guest, two[0]) == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED]

    def resumes():  # refused until both QEMUs have noticed
        return Migration(
            guest, *two, downtime=HOPELESS, flags=flags | libvirt.VIR_MIGRATE_POSTCOPY_RESUME
        ).has_succeeded()

    until("the post-copy to be resumed", resumes, timeout=PATIENCE, interval=0.5)
    assert_runs(guest, two, "node-b")


def test_a_link_is_shaped_at_the_start_and_in_flight(two, start):
    guest = start()
    two[1].shape(10_000_000)
    migration = Migration(guest, *two, downtime=HOPELESS, bandwidth=1000)
    before, began = received(two[1]), time.monotonic()
    assert not comes_true(
        lambda: received(two[1]) - before > 15_000_000 * max(STILL, time.monotonic() - began), STILL
    )
    two[1].shape(60_000_000)
    until("a faster stream", lambda: migration.stats.get("memory_bps", 0) > 30_000_000, timeout=PATIENCE)
    two[1].unshape()
    migration.domain.migrateSetMaxDowntime(ENOUGH)
    migration.ends()
    assert_runs(guest, two, "node-b")


@pytest.mark.parametrize("silent", [False, True], ids=["crash", "power loss"])
def test_the_loss_of_the_target_leaves_the_guest_on_its_source(two, start, silent):
    guest = start()
    migration = Migration(guest, *two, downtime=HOPELESS)
    migration.comes_to_pass(2)
    two[1].power_off(silent=silent)
    assert two[1].state.endswith("powered off")
    assert "client socket is closed" in migration.fails()
    assert_runs(guest, two[:1], "node-a")
    two[1].start()
    Migration(guest, *two, downtime=ENOUGH).ends()
    assert_runs(guest, two, "node-b")


def test_the_loss_of_a_host_takes_its_guests_and_leaves_their_definitions(two, start):
    guest = start(**QUIET)
    (qemu,) = [each for each in two[0].guests() if guest.name in " ".join(each.cmdline())]
    two[0].power_off()
    assert processes.has_ended(qemu)
    two[0].start()
    assert guest.states(two) == {"node-a": "shut off"}


def test_a_cut_of_the_control_link_leaves_the_data_link_alone(two):
    def reaches(node, address, port):
        words = ["timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
        return subprocess.run([*node.command(), *words], capture_output=True, check=False).returncode == 0

    machine = str(two[0].network.machine_address)
    with socket.create_server((machine, 0)) as server:
        api = (machine, server.getsockname()[1])
        peer = (two[1].network.data_address("node-b"), 16509)
        assert (reaches(two[0], *api), reaches(two[0], *peer)) == (True, True)
        two[0].cut_control_link()
        assert two[0].faults() == ["control link cut"]
        assert (reaches(two[0], *api), reaches(two[0], *peer)) == (False, True)
        assert reaches(two[1], *api)
        two[0].heal_control_link()
        until("the API server's address", lambda: reaches(two[0], *api), timeout=PATIENCE)


def test_a_frozen_daemon_answers_nobody_until_it_is_thawed(two, start):
    guest = start(**QUIET)
    two[0].freeze_daemon()
    assert two[0].faults() == ["libvirtd frozen"]
    asking = threading.Thread(target=lambda: libvirt.open(two[0].uri).close(), daemon=True)
    asking.start()
    asking.join(STILL)
    assert asking.is_alive()
    two[0].thaw_daemon()
    asking.join(PATIENCE)
    assert not asking.is_alive()
    assert_runs(guest, two, "node-a")


def test_a_guest_outlives_the_daemon_of_a_node(two, start):
    guest = start(**QUIET)
    two[0].kill_daemon()
    before = guest.verdict().ticks
    until("the guest to go on", lambda: guest.verdict().ticks > before, timeout=PATIENCE)
    two[0].start()
    assert_runs(guest, two, "node-a")


def test_a_local_disk_is_copied(two, start):
    guest = start(**QUIET, local_disk=True)
    there = guest.local_disk_checksum(two[0])
    assert there
    assert guest.local_disk_checksum(two[1]) is None
    Migration(guest, *two, downtime=ENOUGH, flags=libvirt.VIR_MIGRATE_NON_SHARED_DISK).ends()
    assert guest.local_disk_checksum(two[1]) == there
    assert_runs(guest, two, "node-b")


def test_guests_of_nodes_are_found_without_any_record(two, start):
    guest = start(**QUIET)
    names = [process.name() for process in strays(two[0].network.lab)]
    assert names == ["libvirtd", "libvirtd", "qemu-system-x86_64"]
    (qemu,) = two[0].guests()[1:]
    assert guest.name in " ".join(qemu.cmdline())


def test_labs_that_are_up_at_the_same_time_have_other_addresses(two, directory):
    network = claim_network(directory, ["node-a"])
    assert not network.subnet.overlaps(two[0].network.subnet)
    assert re.search(r"^vmferry-\w{8}-switch\b", run(["ip", "netns"]), re.MULTILINE)
