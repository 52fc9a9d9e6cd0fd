"""What is told of a migration, and that nothing of what happens to it is left out."""

import itertools
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from migrations_in_words import NOW, after, first_desired, migration, policy, running, source
from scenarios import scenarios
from test_whatever_happens import some
from worlds import Agent, Scenario, World
from worlds import Event as UserEvent

from vmferry_api.conditions import Condition, ConditionType, Status
from vmferry_api.migrations import (
    AppliedPolicy,
    Attempt,
    AttemptOutcome,
    Phase,
    Queue,
    VMMigration,
    VMMigrationStatus,
    VMState,
)
from vmferry_operator.decisions.events import (
    WARNINGS,
    Event,
    EventType,
    Reason,
    event_of_policy,
    migration_events,
    policy_events,
)
from vmferry_operator.policy_controller import policy_status

LADDER = {
    "maxDowntime": "100ms",
    "bandwidth": {"perMigration": "100Mi"},
    "stallingLimit": "4s",
    "steps": [
        {"after": {"stalled": "2s"}, "setMaxDowntime": "500ms"},
        {"after": {"stalled": "2s"}, "setMaxDowntime": "2s"},
        {"after": {"stalled": "5s"}, "switchToPostCopy": {}},
    ],
}


def sightings(world: World) -> Iterator[VMMigration]:
    """The migration as the operator has seen it, one version after the other."""
    for look in world.looks:
        yield look.before
        yield look.after


def story(world: World) -> list[Event]:
    """All that is told of it."""
    seen = list(sightings(world))
    return [event for pair in itertools.pairwise(seen) for event in migration_events(*pair)]


def reasons(events: list[Event]) -> list[str]:
    return [str(event.reason) for event in events]


def told(status: str, type_: ConditionType, reason: str, message: str = "") -> Condition:
    return Condition(
        type=type_, status=Status(status), reason=reason, message=message, last_transition_time=NOW
    )


def reconciling(reason: str, message: str = "") -> Condition:
    return told("True", ConditionType.RECONCILING, reason, message)


def stalled(reason: str) -> Condition:
    return told("True", ConditionType.STALLED, reason)


def between(before: VMMigrationStatus, after_it: VMMigrationStatus) -> list[Event]:
    return migration_events(migration(before), migration(after_it))


def test_a_ladder_that_ends_in_post_copy_is_told_step_by_step() -> None:
    events = story(World(Scenario(policies={"p": LADDER})).run(100))
    assert reasons(events) == [
        "PolicySelected",
        "TargetReady",
        "WaitingToStart",
        "AttemptStarted",
        "Migrating",
        "MigrationStalling",
        "StepTaken",
        "StepTaken",
        "StepTaken",
        "PostCopyStarted",
        "AttemptCompleted",
        "Migrated",
    ]
    assert [event.note for event in events if event.reason == Reason.STEP_TAKEN] == [
        "step 1: setMaxDowntime 100ms → 500ms, because: stalled for 2s (needed downtime 4000 ms)",
        "step 2: setMaxDowntime 500ms → 2s, because: stalled for 2s (needed downtime 4000 ms)",
        "step 3: switchToPostCopy, because: stalled for 5s (needed downtime 4000 ms)",
    ]
    assert [event.action for event in events if event.reason == Reason.STEP_TAKEN] == [
        "SetMaxDowntime",
        "SetMaxDowntime",
        "SwitchToPostCopy",
    ]
    assert events[-1].note == "db-1 runs on node-b, moved in 31s"


def test_what_the_host_refuses_is_told_with_its_words() -> None:
    refusing = Agent(refuses=frozenset({"maxDowntime"}))
    events = story(World(Scenario(policies={"p": LADDER}, agent=refusing)).run(100))
    refused = next(event for event in events if event.reason == Reason.STEP_REFUSED)
    assert refused.type == EventType.WARNING
    assert refused.note == ("step 1: setMaxDowntime 100ms → 500ms: Failed: maxDowntime: the host will not")


def test_each_try_is_told_and_when_the_next_one_is_due() -> None:
    spec = {
        **LADDER,
        "steps": [{"after": {"elapsed": "20s"}, "abort": {}}],
        "retry": {"attempts": 2, "backoff": "5s"},
    }
    events = story(World(Scenario(policies={"p": spec})).run(200))
    tries = [each for each in reasons(events) if each.startswith("Attempt") or each == "RetryScheduled"]
    assert tries == ["AttemptStarted", "AttemptAborted", "RetryScheduled", "AttemptStarted", "AttemptAborted"]
    assert "try 2 of 2 not before 12:00:2" in next(e.note for e in events if e.reason == "RetryScheduled")
    assert events[-1].reason == Reason.MIGRATION_FAILED
    assert events[-1].note.startswith("Aborted: given up after 2 tries")


def test_an_edit_is_told_of_the_policy_and_of_what_it_changes() -> None:
    edit = UserEvent(at=5, policies={"p": {**LADDER, "bandwidth": {"perMigration": "50Mi"}}})
    events = story(World(Scenario(policies={"p": LADDER}, events=[edit])).run(8))
    assert reasons(events)[-2:] == ["PolicyEdited", "ParametersChanged"]
    assert events[-1].note == "the policy now says so: bandwidth"


def test_a_cancel_says_what_becomes_of_the_vm() -> None:
    cancel = UserEvent(at=5, spec={"cancel": True})
    events = story(World(Scenario(policies={"p": LADDER}, events=[cancel])).run(20))
    wanted = next(event for event in events if event.reason == Reason.CANCEL_REQUESTED)
    assert wanted.note == "spec.cancel: db-1 stays on node-a"
    assert reasons(events)[-2:] == ["AttemptCancelled", "MigrationCancelled"]


def test_a_cancel_in_post_copy_says_that_it_comes_too_late() -> None:
    status = running(phase=Phase.POST_COPY, source=source(VMState.PAUSED, "PostCopy"))
    events = migration_events(migration(status), migration(status, cancel=True))
    assert [event.note for event in events] == [
        "spec.cancel: but post-copy can't be aborted: it goes on to its end"
    ]


@pytest.mark.parametrize(
    ("before", "after_it", "reason", "note"),
    [
        (
            (Phase.POST_COPY, reconciling("PostCopy")),
            (Phase.RECOVERING, reconciling("LinkLost", "the link is gone")),
            "PostCopyInterrupted",
            "LinkLost: the link is gone",
        ),
        (
            (Phase.RECOVERING, reconciling("LinkSilent")),
            (Phase.RECOVERING, reconciling("LinkLost", "the link is gone")),
            "PostCopyInterrupted",
            "LinkLost: the link is gone",
        ),
        (
            (Phase.RECOVERING, reconciling("LinkLost")),
            (Phase.POST_COPY, reconciling("PostCopy", "its memory follows")),
            "PostCopyRecovered",
            "memory flows again: its memory follows",
        ),
        (
            (Phase.RECOVERING, reconciling("LinkLost")),
            (Phase.RECOVERING, stalled("RecoveryExhausted")),
            "RecoveryExhausted",
            "",
        ),
        ((Phase.RECOVERING, reconciling("LinkLost")), (Phase.POST_COPY, stalled("VMFrozen")), "VMFrozen", ""),
        ((Phase.POST_COPY, reconciling("PostCopy")), (Phase.POST_COPY, stalled("VMFrozen")), "VMFrozen", ""),
        (
            (Phase.RUNNING, reconciling("Migrating")),
            (Phase.RUNNING, reconciling("AgentSilent", "is it running there?")),
            "AgentSilent",
            "is it running there?",
        ),
        (
            (Phase.RUNNING, reconciling("AgentSilent")),
            (Phase.RUNNING, reconciling("Migrating", "db-1 is moving to node-b")),
            "AgentHeard",
            "it has reported again: db-1 is moving to node-b",
        ),
    ],
)
def test_what_goes_on_is_told_once_by_its_reason(
    before: tuple[Phase, Condition], after_it: tuple[Phase, Condition], reason: str, note: str
) -> None:
    old, new = (
        running(phase=phase, conditions=[condition], source=source(VMState.PAUSED, "PostCopy"))
        for phase, condition in (before, after_it)
    )
    (event,) = between(old, new)
    assert (event.reason, event.note) == (reason, note)
    assert between(new, new) == []


def test_an_interruption_is_told_though_what_is_seen_at_once_is_that_an_agent_is_silent() -> None:
    lost = told("True", ConditionType.POST_COPY_INTERRUPTED, "LinkLost", "the link is gone")
    old = running(phase=Phase.POST_COPY, conditions=[reconciling("PostCopy")])
    new = running(phase=Phase.RECOVERING, conditions=[lost, reconciling("AgentSilent", "look at node-b")])
    assert [(event.reason, event.note) for event in between(old, new)] == [
        ("AgentSilent", "look at node-b"),
        ("PostCopyInterrupted", "LinkLost: the link is gone"),
    ]


@pytest.mark.parametrize(
    ("before", "after_it", "expected"),
    [
        (("False", "Converging"), ("True", "NotConverging"), ["MigrationStalling"]),
        (("True", "NotConverging"), ("True", "LinkSlow"), ["MigrationStalling"]),
        (("True", "NotConverging"), ("False", "Converging"), ["MigrationConverging"]),
        (("False", "Converging"), ("False", "Paused"), []),
        (("True", "NotConverging"), ("True", "NotConverging"), []),
    ],
)
def test_stalling_is_told_when_it_begins_changes_and_ends(
    before: tuple[str, str], after_it: tuple[str, str], expected: list[str]
) -> None:
    old, new = (
        running(conditions=[told(status, ConditionType.MIGRATION_STALLING, reason)])
        for status, reason in (before, after_it)
    )
    assert reasons(between(old, new)) == expected


def test_the_end_of_an_attempt_does_not_count_as_converging() -> None:
    old = running(stalling_since=0)
    end = Attempt(number=1, start=NOW, end=after(9), outcome=AttemptOutcome.ABORTED, error="given up")
    new = running(attempts=[end])
    assert [(event.reason, event.note) for event in between(old, new)] == [
        ("AttemptAborted", "attempt 1 aborted: given up")
    ]


def test_an_attempt_that_completed_is_told_with_its_figures() -> None:
    end = Attempt(
        number=1,
        start=NOW,
        end=after(9),
        outcome=AttemptOutcome.COMPLETED,
        downtime=timedelta(milliseconds=65),
        transferred=768 * 2**20,
    )
    (event,) = between(running(), running(attempts=[end]))
    assert event.note == "attempt 1 completed: the guest was stopped for 65ms, 768Mi sent"


def test_waiting_for_a_turn_is_told_and_how_long_it_took() -> None:
    queue = Queue(position=2, since=NOW, waiting_for="outgoingPerNode", message="2 run from node-a")
    waits = VMMigrationStatus(phase=Phase.PENDING, queue=queue, conditions=[reconciling("Queued")])
    (queued,) = between(VMMigrationStatus(), waits)
    assert (queued.reason, queued.note) == ("Queued", "place 2 in the queue: 2 run from node-a")
    desired = first_desired(policy().spec).replace(time=after(90))
    starts = VMMigrationStatus(phase=Phase.PENDING, desired=desired, conditions=[reconciling("Starting")])
    (dequeued,) = between(waits, starts)
    assert (dequeued.reason, dequeued.note) == ("Dequeued", "its turn has come after 1m30s")


def test_a_target_that_is_not_ready_is_told_with_the_way_out_and_when_it_is() -> None:
    lacks = VMMigrationStatus(
        conditions=[told("False", ConditionType.TARGET_READY, "TargetNotReady", "no disk")]
    )
    ready = VMMigrationStatus(conditions=[told("True", ConditionType.TARGET_READY, "Ready", "node-b can")])
    assert [(e.reason, e.note) for e in between(VMMigrationStatus(), lacks)] == [
        ("TargetNotReady", "no disk")
    ]
    assert [(e.reason, e.note) for e in between(lacks, ready)] == [("TargetReady", "node-b can")]


def test_what_can_t_be_carried_out_is_told_and_when_it_can() -> None:
    refused = VMMigrationStatus(
        conditions=[told("False", ConditionType.ACCEPTED, "PolicyNotFound", "create it")]
    )
    accepted = VMMigrationStatus(conditions=[told("True", ConditionType.ACCEPTED, "Accepted", "by default")])
    assert [(e.reason, e.note) for e in between(VMMigrationStatus(), refused)] == [
        ("NotAccepted", "PolicyNotFound: create it")
    ]
    assert reasons(between(refused, accepted)) == ["Accepted"]
    assert between(VMMigrationStatus(), accepted) == []


def test_a_policy_is_told_what_shows_whether_it_works_with_the_migration_s_name() -> None:
    event = Event(reason=Reason.STEP_TAKEN, action="Suspend", note="step 1: suspend")
    on_policy = event_of_policy(event, migration())
    assert on_policy == Event(
        reason=Reason.STEP_TAKEN, action="Suspend", note="default/m: step 1: suspend", counted=True
    )
    other = Event(reason=Reason.TARGET_READY, action="CheckTarget", note="node-b can take the VM")
    assert event_of_policy(other, migration()) is None


def test_a_policy_that_can_t_be_read_any_more_is_told_of_itself() -> None:
    good = policy()
    bad = good.replace(unreadable=["spec.timeout.base: '1 s' is no duration"])
    was, is_ = (each.replace(status=policy_status(each, [], now=NOW)) for each in (good, bad))
    (event,) = policy_events(was, is_)
    assert (event.reason, event.type) == ("NotAccepted", EventType.WARNING)
    assert "spec.timeout.base" in event.note
    assert reasons(policy_events(is_, was)) == ["Accepted"]


PHASES = {
    Phase.PENDING: {Reason.WAITING_TO_START, Reason.QUEUED, Reason.RETRY_SCHEDULED},
    Phase.RUNNING: {Reason.MIGRATING},
    Phase.POST_COPY: {Reason.POST_COPY_STARTED, Reason.POST_COPY_RECOVERED, Reason.VM_FROZEN},
    Phase.RECOVERING: {Reason.POST_COPY_INTERRUPTED, Reason.RECOVERY_EXHAUSTED},
    Phase.SUCCEEDED: {Reason.MIGRATED},
    Phase.FAILED: {Reason.MIGRATION_FAILED},
    Phase.CANCELLED: {Reason.MIGRATION_CANCELLED},
}


@some
@given(scenario=scenarios())
def test_whatever_happens_each_change_of_phase_each_step_and_each_attempt_is_told_once(
    scenario: Scenario,
) -> None:
    seen = list(sightings(World(scenario).run(160)))
    everything: list[Event] = []
    for before, after_it in itertools.pairwise(seen):
        events = migration_events(before, after_it)
        everything += events
        if before.status.phase != after_it.status.phase:
            assert PHASES[after_it.status.phase or Phase.PENDING] & {event.reason for event in events}
        if before.status == after_it.status and before.spec == after_it.spec:
            assert {event.reason for event in events} <= {Reason.CANCEL_REQUESTED}
        assert all(event.note for event in events if event.reason in WARNINGS)
    last = seen[-1].status
    count = reasons(everything).count
    assert count("StepTaken") == len(last.steps)
    assert count("AttemptStarted") == len(last.attempts)
    ended = [attempt for attempt in last.attempts if attempt.outcome is not None]
    told_ends = [each for each in reasons(everything) if each.startswith("Attempt")]
    assert len(told_ends) - count("AttemptStarted") == len(ended)


def test_a_first_policy_and_another_one_are_told() -> None:
    one, other = (
        VMMigrationStatus(policy=AppliedPolicy(name=name, generation=1, why="named")) for name in "pq"
    )
    assert [event.note for event in between(VMMigrationStatus(), one)] == ["goes by p: named"]
    assert [event.note for event in between(one, other)] == ["goes by q: named"]


def test_a_vm_that_is_not_there_fails_with_the_reason() -> None:
    end = [
        told("False", ConditionType.COMPLETE, "VMNotFound", "node-a has no domain db-1"),
        stalled("VMNotFound"),
    ]
    (event,) = between(
        VMMigrationStatus(phase=Phase.PENDING), VMMigrationStatus(phase=Phase.FAILED, conditions=end)
    )
    assert (event.reason, event.note) == ("MigrationFailed", "VMNotFound: node-a has no domain db-1")


def test_reports_of_progress_tell_nothing() -> None:
    before = running(phase=Phase.RUNNING)
    assert before.progress is not None
    after_it = before.replace(progress=before.progress.replace(percent=95, elapsed=timedelta(seconds=22)))
    assert between(before, after_it) == []
