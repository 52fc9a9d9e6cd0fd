import pytest
from migrations_in_words import NOW, after, migration, policy

from vmferry_api.conditions import ConditionType, find_condition
from vmferry_api.migrations import AppliedPolicy, Phase, VMMigration, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.policy_controller import policy_status


def steered(by: str | None, phase: Phase | None) -> VMMigration:
    applied = None if by is None else AppliedPolicy(name=by, generation=1, why="")
    return migration(VMMigrationStatus(phase=phase, policy=applied))


@pytest.mark.parametrize(
    ("spec", "status", "reason", "says"),
    [
        ({"maxDowntime": "1s"}, "True", "Accepted", "can be carried out"),
    ],
)
def test_a_policy_is_told_whether_it_can_be_carried_out(
    spec: dict[str, object], status: str, reason: str, says: str
) -> None:
    found = policy_status(policy(**spec), [], now=NOW)
    accepted = find_condition(found.conditions, ConditionType.ACCEPTED)
    assert accepted is not None
    assert (accepted.status, accepted.reason, accepted.observed_generation) == (status, reason, 1)
    assert says in accepted.message
    assert found.observed_generation == 1


def test_a_policy_that_can_t_be_read_any_more_is_told_so() -> None:
    found = policy_status(
        policy().replace(unreadable=["spec.timeout.base: '1 s' is no duration"]), [], now=NOW
    )
    accepted = find_condition(found.conditions, ConditionType.ACCEPTED)
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", "Unreadable")
    assert "spec.timeout.base" in accepted.message


def told(policy_: MigrationPolicy) -> dict[str, str]:
    return {each.type: each.status for each in policy_status(policy_, [], now=NOW).conditions}


def test_ready_and_stalled_say_the_same_to_flux() -> None:
    assert told(policy()) == {"Accepted": "True", "Ready": "True"}
    unreadable = policy().replace(unreadable=["spec.steps: no list"])
    assert told(unreadable) == {"Accepted": "False", "Ready": "False", "Stalled": "True"}


def test_only_migrations_that_it_steers_and_that_are_not_over_are_counted() -> None:
    migrations = [
        *(steered("p", phase) for phase in Phase),
        steered("other", Phase.RUNNING),
        steered(None, Phase.RUNNING),
        steered("p", None),
    ]
    not_over = [phase for phase in Phase if not phase.terminal]
    assert policy_status(policy(), migrations, now=NOW).active == len(not_over)


def test_without_migrations_it_is_none() -> None:
    assert policy_status(policy(), [], now=NOW).active == 0


def test_a_second_look_changes_nothing() -> None:
    mine = policy(retry={})
    first = policy_status(mine, [], now=NOW)
    assert policy_status(mine.replace(status=first), [], now=after(60)) == first
