"""Migrations that end well, each because of what its policy says."""

from datetime import timedelta
from itertools import pairwise
from statistics import median

from hopeless import HOPELESS, HOPELESS_GUEST

from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_lab.components import agent_name

STALLING = {**HOPELESS, "stallingLimit": "2s"}


def test_a_quiet_guest_moves_without_any_step(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(dirty_rate=5_000_000)
    ladder = policy(
        maxDowntime="300ms",
        bandwidth=HOPELESS["bandwidth"],
        steps=[{"after": {"stalled": "1s"}, "setMaxDowntime": "2s"}],
    )
    stops = []
    for source, target in pairwise(["node-a", "node-b", "node-a", "node-b"]):
        done = migrate(guest.name, sourceNode=source, targetNode=target, policyRef={"name": ladder}).ends()
        assert done.status.phase == Phase.SUCCEEDED
        assert done.status.steps == []
        assert done.status.progress.max_downtime == timedelta(milliseconds=300)
        stops.append(done.status.attempts[-1].downtime)
        assert_runs_only_on(guest, target)
    assert median(stops) < timedelta(milliseconds=300)


def test_a_guest_that_outruns_the_link_moves_once_the_policy_grants_more_downtime(
    start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    ladder = policy(
        **STALLING,
        steps=[
            {"after": {"stalled": "1s"}, "setMaxDowntime": "500ms"},
            {"after": {"stalled": "1s"}, "setMaxDowntime": "3s"},
        ],
    )
    done = migrate(guest.name, policyRef={"name": ladder}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [step.action for step in done.status.steps] == [
        "setMaxDowntime 10ms → 500ms",
        "setMaxDowntime 500ms → 3s",
    ]
    assert {step.outcome for step in done.status.steps} == {"Applied"}
    assert done.status.applied.revision == done.status.desired.revision == 3
    assert_runs_only_on(guest, "node-b")


def test_a_step_after_elapsed_is_taken_without_stalling(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    ladder = policy(
        **{**HOPELESS, "maxDowntime": "300ms"},
        steps=[{"after": {"elapsed": "6s"}, "setBandwidth": "400Mi"}],
    )
    done = migrate(guest.name, policyRef={"name": ladder}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    (step,) = done.status.steps
    assert (step.trigger, step.action) == ("6s elapsed", "setBandwidth 50Mi → 400Mi")
    assert_runs_only_on(guest, "node-b")


def test_post_copy_moves_a_guest_that_would_never_converge(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    ladder = policy(
        **STALLING,
        steps=[{"after": {"stalled": "1s"}, "switchToPostCopy": {}}],
    )
    done = migrate(guest.name, policyRef={"name": ladder}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [step.action for step in done.status.steps] == ["switchToPostCopy"]
    assert_runs_only_on(guest, "node-b")


def test_suspend_moves_a_guest_that_would_never_converge(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    ladder = policy(
        **STALLING,
        steps=[{"after": {"stalled": "1s"}, "suspend": {}}],
    )
    done = migrate(guest.name, policyRef={"name": ladder}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")


def test_with_no_policy_at_all_the_agent_raises_the_downtime_by_itself(
    start_guest, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST, memory=96 * 2**20, working_set=20 * 2**20)  # needs 400 ms
    migration = migrate(guest.name, overrides={"bandwidth": HOPELESS["bandwidth"]})
    first = migration.passes(2)
    done = migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert done.status.policy.name == "(built-in)"
    assert done.status.steps == []
    assert done.status.progress.max_downtime > first.status.progress.max_downtime
    assert_runs_only_on(guest, "node-b")


def test_a_migration_goes_on_while_its_agent_is_killed_and_comes_back(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    ladder = policy(
        **STALLING,
        steps=[{"after": {"stalled": "1s"}, "setMaxDowntime": "3s"}],
    )
    migration = migrate(guest.name, policyRef={"name": ladder})
    migration.passes(2)
    lab.components.stop(agent_name("node-a"), kill=True)
    lab.components.start(agent_name("node-a"))
    done = migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [attempt.number for attempt in done.status.attempts] == [1]
    assert [step.outcome for step in done.status.steps] == ["Applied"]
    assert_runs_only_on(guest, "node-b")


def test_a_transient_domain_moves_and_stays_transient(lab, start_guest, migrate, assert_runs_only_on):
    guest = start_guest(dirty_rate=5_000_000, persistent=False)
    done = migrate(guest.name).ends()
    assert done.status.attempts[-1].outcome == AttemptOutcome.COMPLETED
    assert not guest.is_persistent(lab.host("node-b"))
    assert_runs_only_on(guest, "node-b")
