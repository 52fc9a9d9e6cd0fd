"""Several migrations at once: whose turn it is, and what of the hosts' bandwidth each gets."""

from itertools import pairwise

from asked_migration import PATIENCE, reason
from hopeless import HOPELESS, HOPELESS_GUEST

from vmferry_api.conditions import ConditionType
from vmferry_api.migrations import Phase
from vmferry_lab.until import until

MIB = 2**20
QUIET = {"dirty_rate": 2_000_000, "working_set": 8 * MIB, "cold": None}
"""It has much to send, once."""


def runs(migration):
    return migration.status.phase == Phase.RUNNING and migration.status.applied


def place(migration):
    return migration.status.queue.position if migration.status.queue else None


def test_four_migrations_queue_and_share_the_bandwidth_of_two_hosts(
    start_guest, policy, migrate, assert_runs_only_on
):
    name = policy(
        concurrency={"outgoingPerNode": 2, "incomingPerNode": 2},
        bandwidth={"perNode": "40Mi"},
        maxDowntime="300ms",
        stallingLimit="2s",
    )
    hopeless = start_guest(**HOPELESS_GUEST)
    quiet = [start_guest(memory=192 * MIB, **QUIET) for _ in range(3)]
    last = migrate(hopeless.name, policyRef={"name": name})
    last.wait(
        "to run alone with all of it", lambda each: runs(each) and each.status.desired.share == 40 * MIB
    )
    quiet_ones = [migrate(guest.name, policyRef={"name": name}) for guest in quiet]

    last.wait("a half", lambda each: each.status.desired.share == 20 * MIB)

    def queue():
        found = {place(seen): seen for seen in (each.get() for each in quiet_ones)}
        return found if {1, 2} <= found.keys() else None

    queued = until("both others to have their places", queue, timeout=PATIENCE)[1]
    assert queued.status.phase == Phase.PENDING
    assert queued.status.queue.waiting_for == "outgoingPerNode"
    assert "2 migrations from node-a run (concurrency.outgoingPerNode: 2)" in queued.status.queue.message
    assert reason(queued, ConditionType.RECONCILING) == "Queued"

    slow = last.wait(
        "the half in force", lambda each: each.status.progress.bandwidth < 25 * MIB and each.status.progress
    )
    assert slow.status.applied.errors == []
    ended = [each.ends() for each in quiet_ones]
    assert [each.status.phase for each in ended] == [Phase.SUCCEEDED] * 3
    attempts = sorted((each.status.attempts[0] for each in ended), key=lambda each: each.start)
    assert all(before.end <= after.start for before, after in pairwise(attempts))

    last.wait("all of it again", lambda each: each.status.desired.share == 40 * MIB)
    last.wait("all of it in force", lambda each: each.status.progress.bandwidth > 35 * MIB)
    last.patch_spec(cancel=True)
    assert last.ends().status.phase == Phase.CANCELLED
    assert_runs_only_on(hopeless, "node-a")
    for guest in quiet:
        assert_runs_only_on(guest, "node-b")


def test_a_migration_of_the_other_direction_does_not_wait(start_guest, policy, migrate, assert_runs_only_on):
    name = policy(**HOPELESS, concurrency={"outgoingPerNode": 1, "incomingPerNode": 1})
    there, back = start_guest(**HOPELESS_GUEST), start_guest("node-b", **QUIET)
    going = migrate(there.name, policyRef={"name": name})
    going.wait("to run", runs)
    coming = migrate(back.name, policyRef={"name": name}, sourceNode="node-b", targetNode="node-a")
    assert coming.ends().status.phase == Phase.SUCCEEDED
    assert going.get().status.phase == Phase.RUNNING
    going.patch_spec(cancel=True)
    going.ends()
    assert_runs_only_on(back, "node-a")
    assert_runs_only_on(there, "node-a")
