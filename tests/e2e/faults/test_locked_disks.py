"""A target's daemon that hangs while the guest is handed over: with libvirt alone it then runs twice.

The source's daemon gives its last call up and lets the guest run on; the target's carries it out when it goes on.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from asked_migration import reason
from hopeless import HOPELESS_GUEST, SLOW_POST_COPY

from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import AttemptOutcome, Phase, Storage
from vmferry_lab import processes
from vmferry_lab.until import until

LOCKD = 'lock_manager = "lockd"\n'
SOCKET = Path("run/libvirt/virtlockd-sock")
ONE_MORE = {**SLOW_POST_COPY, "retry": {"attempts": 2, "backoff": "5s"}}


@pytest.fixture
def locks(lab, nodes):
    """Both daemons lock the disks of what they start, by files in one directory."""
    files = lab.directory / "locks"
    files.mkdir()
    with ExitStack() as ends:
        ends.callback(shutil.rmtree, files)
        for node in nodes.values():
            ends.callback(cease_to_lock, lab, node)
            begin_to_lock(lab, node, files)
        yield files


def begin_to_lock(lab, node, files):
    """Begin as docs/agent.md has it."""
    (node.directory / "etc" / "qemu-lockd.conf").write_text(f'file_lockspace_dir = "{files}"\n')
    with (node.directory / "etc" / "qemu.conf").open("a") as configuration:
        configuration.write(LOCKD)
    processes.start(
        f"virtlockd-{node.name}",
        ["/usr/sbin/virtlockd"],
        lab=lab.directory,
        log=lab.directory / "logs" / f"virtlockd-{node.name}.log",
        through=node.command(),
    )
    socket = Path("/proc", str(node.first_process.pid), "root") / SOCKET
    until(f"virtlockd of {node.name}", socket.exists, timeout=60)
    restart_daemon(node)


def cease_to_lock(lab, node):
    """Take that back."""
    (node.directory / "etc" / "qemu-lockd.conf").unlink(missing_ok=True)
    configuration = node.directory / "etc" / "qemu.conf"
    configuration.write_text(configuration.read_text().removesuffix(LOCKD))
    processes.stop(processes.of_component(lab.directory, f"virtlockd-{node.name}"))
    restart_daemon(node)


def restart_daemon(node):
    """So that it reads its configuration."""
    node.kill_daemon()
    node.start()


@pytest.fixture
def locked(locks, start_guest, policy, migrate):
    """A guest with a disk that is locked, and its migration."""
    guest = start_guest(**HOPELESS_GUEST, local_disk=True)
    assert len(list(locks.iterdir())) == 1
    migration = migrate(guest.name, storage=Storage.COPY_ALL, policyRef={"name": policy(**ONE_MORE)})
    migration.passes(2)
    return guest, migration


def hand_over_to_a_daemon_that_hangs(migration, target):
    """The guest stops on its source before the source's daemon has given the target's up."""
    target.freeze_daemon()
    try:
        migration.patch_spec(overrides={"maxDowntime": "3s"})
        migration.wait(
            "the guest to go on after it was stopped",
            lambda each: (
                each.status.attempts[0].outcome == AttemptOutcome.FAILED
                and each.status.source.vm.reason == "MigrationCanceled"
            ),
        )
    finally:
        target.thaw_daemon()


def test_without_a_lock_manager_it_runs_twice_and_that_is_told_and_not_tried_again(nodes, target, pre_copy):
    it = pre_copy(**ONE_MORE)
    hand_over_to_a_daemon_that_hangs(it.migration, target)
    done = it.migration.ends()
    assert (done.status.phase, len(done.status.attempts)) == (Phase.FAILED, 1)
    told = find_condition(done.status.conditions, ConditionType.FAILED)
    assert told.reason == reason(done, ConditionType.STALLED) == "VMOnBothHosts"
    assert (
        f"{it.guest.name} is Running (MigrationCanceled) on node-a and Running (Migrated) on node-b"
        in told.message
    )
    assert it.guest.states(nodes.values()) == {"node-a": "running", "node-b": "running"}


def test_with_locks_it_runs_on_one_host_alone_and_another_try_moves_it(locked, target, assert_runs_only_on):
    guest, migration = locked
    logged = len(target.log.read_text())
    hand_over_to_a_daemon_that_hangs(migration, target)
    until("the second one to be refused", lambda: "is locked" in target.log.read_text()[logged:], timeout=60)
    done = migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert [attempt.outcome for attempt in done.status.attempts] == [
        AttemptOutcome.FAILED,
        AttemptOutcome.COMPLETED,
    ]
    assert_runs_only_on(guest, "node-b")
