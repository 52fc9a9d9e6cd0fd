"""What the column REASON of `kubectl get vmmig` shows."""

import pytest
from migrations_in_words import NOW, migration, policy, running
from worlds import Agent, Event, Scenario, World

from vmferry_api.conditions import Condition, ConditionType, Status
from vmferry_api.migrations import Phase, VMMigrationStatus
from vmferry_operator.decisions.decide import Surroundings, decide
from vmferry_operator.decisions.one_word import in_one_word


def told(type_: ConditionType, reason: str, status: Status = Status.TRUE) -> Condition:
    return Condition(type=type_, status=status, reason=reason, last_transition_time=NOW)


STALLING = running(stalling_since=0)
CONVERGING = running()
MIGRATING = told(ConditionType.RECONCILING, "Migrating")


@pytest.mark.parametrize(
    ("phase", "own", "agents", "cancel", "word"),
    [
        (Phase.PENDING, [told(ConditionType.RECONCILING, "Queued")], CONVERGING, False, "Queued"),
        (Phase.RUNNING, [MIGRATING], CONVERGING, False, "Migrating"),
        (Phase.RUNNING, [MIGRATING], STALLING, False, "NotConverging"),
        (Phase.RUNNING, [MIGRATING], STALLING, True, "Cancelling"),
        (Phase.RUNNING, [told(ConditionType.RECONCILING, "AgentSilent")], STALLING, False, "AgentSilent"),
        (Phase.POST_COPY, [told(ConditionType.RECONCILING, "PostCopy")], CONVERGING, True, "PostCopy"),
        (Phase.POST_COPY, [told(ConditionType.STALLED, "VMFrozen")], CONVERGING, False, "VMFrozen"),
        (Phase.RECOVERING, [told(ConditionType.RECONCILING, "LinkLost")], CONVERGING, False, "LinkLost"),
        (Phase.SUCCEEDED, [told(ConditionType.COMPLETE, "Migrated")], STALLING, False, "Migrated"),
        (
            Phase.FAILED,
            [told(ConditionType.COMPLETE, "VMNotFound", Status.FALSE), told(ConditionType.STALLED, "x")],
            CONVERGING,
            False,
            "VMNotFound",
        ),
        (
            Phase.CANCELLED,
            [told(ConditionType.COMPLETE, "Cancelled", Status.FALSE)],
            CONVERGING,
            True,
            "Cancelled",
        ),
    ],
)
def test_it_is_the_reason_that_matters_most(
    phase: Phase, own: list[Condition], agents: VMMigrationStatus, cancel: bool, word: str
) -> None:
    assert in_one_word(migration(agents, cancel=cancel), phase, own) == word


def test_over_a_whole_life_there_always_is_one_and_it_tells_the_story() -> None:
    spec = {"maxDowntime": "100ms", "bandwidth": {"perMigration": "100Mi"}, "stallingLimit": "4s"}
    slow = Agent(delay=2)
    cancel = Event(at=30, spec={"cancel": True})
    world = World(Scenario(policies={"p": spec}, agent=slow, events=[cancel])).run(60)
    words = [look.after.status.reason for look in world.looks]
    assert list(dict.fromkeys(words)) == ["Starting", "Migrating", "NotConverging", "Cancelling", "Cancelled"]


def test_a_generation_that_is_written_after_the_end_is_observed_too() -> None:
    complete = told(ConditionType.COMPLETE, "Migrated").replace(observed_generation=1)
    over = VMMigrationStatus(
        observed_generation=1, phase=Phase.SUCCEEDED, reason="Migrated", conditions=[complete]
    )
    edited = migration(over, {"generation": 2})
    decision = decide(edited, Surroundings(policies=[policy()]), now=NOW)
    conditions = [complete.replace(observed_generation=2)]
    assert decision.status == over.replace(observed_generation=2, conditions=conditions)
