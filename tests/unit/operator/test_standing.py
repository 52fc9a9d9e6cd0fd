"""What there is, counted for metrics."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from migrations_in_words import NOW, after, first_desired, migration, policy, running

from vmferry_api.conditions import Condition, ConditionType, Status
from vmferry_api.migrations import AppliedPolicy, Forecast, Phase, Queue, VMMigrationStatus
from vmferry_operator.decisions.prospects import Expected
from vmferry_operator.standing import NEEDS_PERSON, NO_POLICY, Standing, standing

BY = AppliedPolicy(name="p")
SHARE = 20 * 2**20


def told(type_: ConditionType, reason: str) -> Condition:
    return Condition(type=type_, status=Status.TRUE, reason=reason, last_transition_time=NOW)


def counted(*statuses: VMMigrationStatus) -> Standing:
    several = [
        migration(status, {"name": str(number), "uid": str(number)}) for number, status in enumerate(statuses)
    ]
    return standing(several, [policy("p")], now=after(60))


def test_migrations_are_counted_by_policy_and_phase_ended_ones_too() -> None:
    found = counted(
        VMMigrationStatus(),
        running(policy=BY, phase=Phase.RUNNING),
        running(policy=BY, phase=Phase.SUCCEEDED),
    )
    assert found.migrations == {
        (NO_POLICY, Phase.PENDING): 1,
        ("p", Phase.RUNNING): 1,
        ("p", Phase.SUCCEEDED): 1,
    }


def test_those_that_run_are_counted_by_what_is_to_be_expected() -> None:
    hopeless = running(
        stalling_since=10,
        policy=BY,
        phase=Phase.RUNNING,
        desired=first_desired(policy(timeout={"base": "5m"}).spec),
        forecast=Forecast(converges=False),
    )
    found = counted(hopeless, hopeless.replace(phase=Phase.FAILED))
    assert found.expected == {Expected.DOES_NOT_CONVERGE: 1}
    assert found.stalling == found.nothing_left == found.missing_deadline == {"p": 1}


def test_those_that_wait_are_counted_by_what_for_and_the_longest_wait_is_known() -> None:
    def queued(since: float) -> VMMigrationStatus:
        return VMMigrationStatus(
            phase=Phase.PENDING,
            queue=Queue(position=1, since=after(since), waiting_for="outgoingPerNode"),
            conditions=[told(ConditionType.RECONCILING, "Queued")],
        )

    found = counted(queued(10), queued(50), VMMigrationStatus())
    assert (found.queued, found.longest_wait) == ({"outgoingPerNode": 2}, timedelta(seconds=50))
    assert found.pending == {"Queued": 2, "New": 1}


def test_silent_agents_count_by_what_their_migrations_are_in() -> None:
    silent = [told(ConditionType.RECONCILING, "AgentSilent")]
    found = counted(
        running(phase=Phase.POST_COPY, conditions=silent),
        VMMigrationStatus(phase=Phase.PENDING, conditions=silent),
    )
    assert found.silent == {Phase.POST_COPY: 1, Phase.PENDING: 1}


def test_interrupted_post_copies_count_while_they_last() -> None:
    interrupted = running(
        phase=Phase.RECOVERING, conditions=[told(ConditionType.POST_COPY_INTERRUPTED, "LinkLost")]
    )
    assert counted(interrupted, interrupted.replace(phase=Phase.FAILED)).interrupted == {"LinkLost": 1}


@pytest.mark.parametrize("reason", NEEDS_PERSON)
@pytest.mark.parametrize("phase", [Phase.RECOVERING, Phase.FAILED])
def test_a_vm_that_is_not_well_counts_for_as_long_as_its_migration_is_there(
    reason: str, phase: Phase
) -> None:
    stuck = running(phase=phase, conditions=[told(ConditionType.STALLED, reason)])
    assert counted(stuck).needing_person == {reason: 1}


def test_a_migration_that_failed_with_the_vm_well_needs_no_person() -> None:
    failed = running(phase=Phase.FAILED, conditions=[told(ConditionType.STALLED, "Aborted")])
    assert counted(failed).needing_person == {}


@pytest.mark.parametrize("reason", NEEDS_PERSON)
def test_a_vm_that_no_attempt_was_made_with_is_as_it_was_and_needs_no_person(reason: str) -> None:
    refused = VMMigrationStatus(phase=Phase.FAILED, conditions=[told(ConditionType.STALLED, reason)])
    assert counted(refused).needing_person == {}


def test_shares_are_summed_by_node_and_direction_of_those_that_run() -> None:
    desired = first_desired(policy().spec).replace(share=SHARE)
    runs = running(phase=Phase.RUNNING, desired=desired)
    found = counted(runs, runs, runs.replace(phase=Phase.SUCCEEDED))
    assert found.sharing == {("node-a", "out"): 2, ("node-b", "in"): 2}
    assert found.shared == {("node-a", "out"): 2 * SHARE, ("node-b", "in"): 2 * SHARE}


def test_policies_count_by_whether_they_can_be_carried_out() -> None:
    accepted = policy("a")
    accepted = accepted.replace(
        status=accepted.status.replace(conditions=[told(ConditionType.ACCEPTED, "Accepted")])
    )
    assert standing([], [accepted, policy("b")], now=NOW).accepted == Counter(
        {Status.TRUE: 1, Status.UNKNOWN: 1}
    )


def test_one_that_can_t_be_reckoned_with_takes_no_other_out_of_the_figures(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = running(policy=BY, phase=Phase.RUNNING, desired=first_desired(policy().spec))
    unbounded = runs.attempts[0].replace(start=datetime.max.replace(tzinfo=UTC))
    timed = runs.desired.replace(timeout=timedelta(hours=1)) if runs.desired else None
    found = counted(runs.replace(attempts=[unbounded], desired=timed), runs)
    assert (found.migrations, found.not_counted) == ({("p", Phase.RUNNING): 2}, 1)
    assert found.expected == {Expected.TOO_EARLY: 1}
    assert "not counted: VMMigration 0" in caplog.text
