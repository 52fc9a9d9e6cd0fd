"""What only hosts with links and disks of their own can show: encryption, copies of disks, many at once."""

from asked_migration import reason

from vmferry_api.conditions import ConditionType
from vmferry_api.migrations import AttemptOutcome, Phase, Storage
from vmferry_lab.hosts.faults import Traffic

EIGHT = 8
QUIET = {"dirty_rate": 5_000_000, "working_set": 8 * 2**20}


def test_an_encrypted_stream_moves_a_guest(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**QUIET)
    name = policy(maxDowntime="1s", start={"encryption": "Required"})
    done = migrate(guest.name, policyRef={"name": name}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert done.status.desired.start.encryption == "Required"
    assert "TLS" in done.status.target.features
    assert_runs_only_on(guest, "node-b")


def test_a_local_disk_is_copied_and_its_progress_told(lab, start_guest, policy, migrate, assert_runs_only_on):
    source, target = lab.node("node-a"), lab.node("node-b")
    guest = start_guest(**QUIET, local_disk=True)
    content = guest.local_disk_checksum(source)
    name = policy(maxDowntime="2s", bandwidth={"perMigration": "4Mi"})
    migration = migrate(guest.name, storage=Storage.COPY_ALL, policyRef={"name": name})
    copying = migration.wait(
        "to copy the disk, before any memory",
        lambda each: (
            each.status.progress
            and each.status.progress.disk
            and each.status.progress.disk.transferred
            and each.status.progress.memory_pass == 0
        ),
    )
    assert copying.status.progress.disk.total == 32 * 2**20
    done = migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert content is not None
    assert guest.local_disk_checksum(target) == content
    assert_runs_only_on(guest, "node-b")


def test_a_local_disk_that_is_said_to_be_shared_is_refused_before_the_start(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**QUIET, local_disk=True)
    migration = migrate(guest.name)
    seen = migration.wait(
        "to be refused", lambda each: reason(each, ConditionType.TARGET_READY) == "TargetNotReady"
    )
    assert f"{guest.name}.disk" in seen.status.target.message
    assert seen.status.attempts == []
    assert_runs_only_on(guest, "node-a")


def test_a_disk_whose_copy_is_cut_off_silently_is_given_up(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    target = lab.node("node-b")
    guest = start_guest(**QUIET, local_disk=True)
    name = policy(bandwidth={"perMigration": "2Mi"}, progressTimeout="5s")
    migration = migrate(guest.name, storage=Storage.COPY_ALL, policyRef={"name": name})
    migration.wait("to copy the disk", lambda each: each.status.progress and each.status.progress.disk)
    target.drop(Traffic.STREAM)
    try:
        migration.wait("to be given up", lambda each: reason(each, ConditionType.RUNNING) == "GivingUp")
    finally:
        target.heal()
    done = migration.ends(timeout=180)
    assert (done.status.phase, done.status.attempts[-1].outcome) == (Phase.FAILED, AttemptOutcome.ABORTED)
    assert_runs_only_on(guest, "node-a")


def test_eight_migrations_at_once_all_arrive(start_guest, policy, migrate, assert_runs_only_on):
    guests = [start_guest(memory=64 * 2**20, cold=8 * 2**20, **QUIET) for _ in range(EIGHT)]
    name = policy(
        maxDowntime="1s",
        bandwidth={"perMigration": "20Mi"},
        concurrency={"outgoingPerNode": EIGHT, "incomingPerNode": EIGHT},
    )
    migrations = [migrate(guest.name, policyRef={"name": name}) for guest in guests]
    for guest, migration in zip(guests, migrations, strict=True):
        done = migration.ends(timeout=180)
        assert (done.status.phase, len(done.status.attempts)) == (Phase.SUCCEEDED, 1)
        assert_runs_only_on(guest, "node-b")
