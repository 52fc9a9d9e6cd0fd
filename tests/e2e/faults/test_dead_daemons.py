"""A libvirtd is killed in mid-migration and comes back: the guest lives on one host, and status says on which."""

import pytest
from asked_migration import PATIENCE, in_post_copy_on_both, reason

from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_lab.until import until

AGAIN = {
    "retry": {"attempts": 2, "backoff": "1s"},
    "steps": [{"after": {"passes": 6}, "setMaxDowntime": "3s"}],
}
POST_COPY = {"after": {"passes": 2}, "switchToPostCopy": {}}
SIDES = ["node-a", "node-b"]


@pytest.mark.parametrize("side", SIDES)
def test_in_pre_copy_the_guest_stays_and_is_moved_by_another_try(nodes, pre_copy, assert_runs_only_on, side):
    it = pre_copy(**AGAIN)
    nodes[side].kill_daemon()
    nodes[side].start()
    done = it.migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    outcomes = [attempt.outcome for attempt in done.status.attempts]
    assert outcomes == [AttemptOutcome.FAILED, AttemptOutcome.COMPLETED]
    assert_runs_only_on(it.guest, "node-b")


@pytest.mark.parametrize("side", SIDES)
def test_in_post_copy_memory_follows_all_the_same_and_nothing_is_left_behind(
    nodes, post_copy, assert_runs_only_on, side
):
    it = post_copy()
    nodes[side].kill_daemon()
    nodes[side].start()
    it.hurries()
    done = it.migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [attempt.outcome for attempt in done.status.attempts] == [AttemptOutcome.COMPLETED]
    it.sees("no definition on the source", lambda each: each.status.source.vm.state == "Absent")
    assert_runs_only_on(it.guest, "node-b")


def test_a_definition_that_is_left_behind_is_removed_also_by_an_agent_that_comes_late(
    lab, source, post_copy, assert_runs_only_on
):
    it = post_copy()
    lab.components.stop("agent-node-a", kill=True)
    source.kill_daemon()
    it.sees("to be whole on the target", lambda each: each.status.target.vm.reason == "Migrated")
    source.start()
    lab.components.start("agent-node-a")
    assert it.migration.ends().status.phase == Phase.SUCCEEDED
    it.sees("no definition on the source", lambda each: each.status.source.vm.state == "Absent")
    assert_runs_only_on(it.guest, "node-b")


def test_agent_and_daemon_that_die_together_find_it_again(lab, source, post_copy, assert_runs_only_on):
    it = post_copy()
    lab.components.stop("agent-node-a", kill=True)
    source.kill_daemon()
    source.start()
    lab.components.start("agent-node-a")
    assert it.migration.ends().status.phase == Phase.SUCCEEDED
    assert_runs_only_on(it.guest, "node-b")


FAILED, COMPLETED = AttemptOutcome.FAILED, AttemptOutcome.COMPLETED
SLOWLY_AGAIN = {**AGAIN, "steps": [{"after": {"elapsed": "15s"}, "setMaxDowntime": "3s"}]}
"""Not before a keepalive has given up the daemon."""
HANGS = {
    "in pre-copy the target's daemon gives it up, and another try moves it": (
        SLOWLY_AGAIN,
        Phase.RUNNING,
        [FAILED, COMPLETED],
    ),
    "in post-copy memory follows all the same": ({"steps": [POST_COPY]}, Phase.POST_COPY, [COMPLETED]),
}


@pytest.mark.parametrize("case", HANGS.values(), ids=HANGS)
def test_a_source_s_daemon_that_hangs_until_its_keepalive_gives_it_up_costs_no_guest(
    lab, source, pre_copy, assert_runs_only_on, case
):
    words, phase, outcomes = case
    it = pre_copy(**words, bandwidth={"perMigration": "50Mi", "postCopy": "2Mi"})
    it.sees(
        "the phase",
        lambda each: each.status.phase == phase and (phase == Phase.RUNNING or in_post_copy_on_both(each)),
    )
    missed = count_of_missed(lab)
    source.freeze_daemon()
    until("the agent to miss it", lambda: count_of_missed(lab) > missed, timeout=PATIENCE)
    assert it.migration.get().status.phase == phase
    source.thaw_daemon()
    it.hurries()
    done = it.migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert [attempt.outcome for attempt in done.status.attempts] == outcomes
    assert_runs_only_on(it.guest, "node-b")


def count_of_missed(lab):
    """How often the source's agent has given its daemon up."""
    return lab.components.log("agent-node-a").read_text().count("closed due to keepalive timeout")


def test_a_target_s_daemon_that_hangs_fails_the_attempt_and_another_one_moves_it(
    target, pre_copy, assert_runs_only_on
):
    it = pre_copy(**SLOWLY_AGAIN)
    target.freeze_daemon()  # the source's daemon gives it up by keepalive
    it.sees("the attempt to fail", lambda each: each.status.attempts[0].outcome == AttemptOutcome.FAILED)
    target.thaw_daemon()
    done = it.migration.ends(timeout=120)
    assert done.status.phase == Phase.SUCCEEDED
    assert_runs_only_on(it.guest, "node-b")


@pytest.mark.parametrize(
    "hangs", [("node-a", ConditionType.ACCEPTED), ("node-b", ConditionType.TARGET_READY)], ids=SIDES
)
def test_a_daemon_that_hangs_before_the_start_is_told_and_its_agent_is_not_called_silent(
    nodes, start_guest, migrate, assert_runs_only_on, hangs
):
    side, type_ = hangs
    guest = start_guest(dirty_rate=0)
    nodes[side].freeze_daemon()
    migration = migrate(guest.name)
    seen = migration.wait(
        "the daemon to be told", lambda each: reason(each, type_) == "HypervisorUnreachable"
    )
    assert reason(seen, ConditionType.RECONCILING) == "HypervisorUnreachable"
    told = find_condition(seen.status.conditions, type_).message
    assert told.startswith(f"{side} says: libvirt can't be asked: ")
    assert (seen.status.phase, seen.status.attempts) == (Phase.PENDING, [])
    nodes[side].thaw_daemon()
    assert migration.ends(timeout=120).status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")
