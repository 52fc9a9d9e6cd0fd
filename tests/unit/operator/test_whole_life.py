"""One migration from its creation to its end, decision by decision, over an object that is written and read."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_in_words import GIB, NOW, after, migration, policy, running, source, target, vm
from objects_as_stored import reported, stored, written

from vmferry_api import FINALIZER
from vmferry_api.conditions import Condition, ConditionType, Status, find_condition, is_true
from vmferry_api.migrations import (
    Applied,
    Attempt,
    AttemptOutcome,
    DesiredState,
    MigrationTechnique,
    Phase,
    VMMigration,
    VMMigrationStatus,
    VMState,
)
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.decide import OWN_FIELDS, Decision, Surroundings, decide, own_part

NODES = {"node-a", "node-b"}
READY = VMMigrationStatus(source=source(), target=target())


def around(policies: Sequence[MigrationPolicy], nodes: set[str] | None = NODES) -> Surroundings:
    """No other migrations."""
    return Surroundings(policies=policies, nodes=nodes, namespace_labels={})


class Life:
    """A migration and its operator; the test plays the agents."""

    def __init__(self, policies: Sequence[MigrationPolicy], status: VMMigrationStatus | None = None) -> None:
        self.migration = migration(status)
        self.policies = policies
        self.last: Decision | None = None

    def decide(self, at: float) -> VMMigration:
        """One reconcile at so many seconds after the creation, and what is then stored."""
        self.last = decide(self.migration, around(self.policies), now=after(at))
        self.migration = written(self.migration, self.last)
        return self.migration

    def report(self, **fields: object) -> None:
        """An agent writes."""
        self.migration = reported(self.migration, **fields)

    def stall(self, since: float) -> None:
        """The source agent reports stalling."""
        others = [
            each for each in self.migration.status.conditions if each.type != ConditionType.MIGRATION_STALLING
        ]
        stalling = Condition(
            type=ConditionType.MIGRATION_STALLING,
            status=Status.TRUE,
            reason="NotConverging",
            last_transition_time=after(since),
        )
        self.report(conditions=[*others, stalling])

    def answer(self, at: float) -> None:
        """The source agent has applied what is desired."""
        desired = self.migration.status.desired
        assert desired is not None
        self.report(applied=Applied(revision=desired.revision, attempt=1, time=after(at)))


LADDER = policy(
    globalDefault=True,
    maxDowntime="100ms",
    steps=[
        {"after": {"stalled": "10s"}, "setMaxDowntime": "500ms"},
        {"after": {"stalled": "10s"}, "switchToPostCopy": {}},
    ],
)


def test_a_migration_goes_from_its_creation_by_two_steps_and_post_copy_to_success() -> None:
    it = Life([LADDER])
    assert it.decide(0).status.phase == Phase.PENDING
    assert it.last is not None
    assert it.last.finalizer

    it.report(source=source(), target=target())
    desired = it.decide(1).status.desired
    assert desired is not None
    assert (desired.revision, desired.max_downtime) == (1, timedelta(milliseconds=100))

    it.report(attempts=[Attempt(number=1, start=after(2))])
    assert it.decide(2).status.phase == Phase.RUNNING
    it.answer(3)

    it.stall(since=20)
    it.decide(20)
    assert it.last.check_again == timedelta(seconds=10)
    assert it.migration.status.steps == []
    desired = it.decide(30).status.desired
    assert desired is not None
    assert (desired.revision, desired.max_downtime) == (2, timedelta(milliseconds=500))
    it.answer(31)

    it.decide(31)
    assert it.last.check_again == timedelta(seconds=10)
    desired = it.decide(41).status.desired
    assert desired is not None
    assert (desired.revision, desired.technique) == (3, MigrationTechnique.POST_COPY)
    it.answer(42)

    it.report(source=source(VMState.PAUSED, "PostCopy"), target=target(seen=vm(VMState.RUNNING, "PostCopy")))
    assert it.decide(43).status.phase == Phase.POST_COPY

    over = Attempt(number=1, start=after(2), end=after(50), outcome=AttemptOutcome.COMPLETED)
    it.report(source=source(VMState.ABSENT, "Unknown"), attempts=[over])
    assert it.decide(50).status.phase == Phase.POST_COPY
    it.report(target=target(seen=vm(VMState.RUNNING, "Migrated")))
    last = it.decide(51)
    assert last.status.phase == Phase.SUCCEEDED
    assert is_true(last.status.conditions, ConditionType.COMPLETE)
    assert find_condition(last.status.conditions, ConditionType.RECONCILING) is None
    assert [(step.step, step.revision, step.outcome) for step in last.status.steps] == [
        (1, 2, "Applied"),
        (2, 3, "Applied"),
    ]
    assert not it.last.finalizer
    assert it.last.check_again is None


def test_the_step_that_gave_up_is_recorded_as_done() -> None:
    it = Life([policy(globalDefault=True, steps=[{"after": {"elapsed": "10s"}, "abort": {}}])], READY)
    it.decide(0)
    it.report(attempts=[Attempt(number=1, start=NOW)])
    desired = it.decide(10).status.desired
    assert desired is not None
    assert desired.state == DesiredState.ABORT
    attempt = Attempt(number=1, start=NOW, end=after(12), outcome=AttemptOutcome.ABORTED, error="aborted")
    it.report(attempts=[attempt])
    assert it.decide(12).status.phase == Phase.FAILED
    assert it.migration.status.steps[-1].outcome == "Applied"


def test_a_migration_waits_for_its_policy_and_starts_once_it_is_there() -> None:
    it = Life([], READY)
    it.migration = it.migration.replace(
        spec=migration(policyRef={"name": "late"}).spec,
    )
    waiting = it.decide(0).status
    accepted = find_condition(waiting.conditions, ConditionType.ACCEPTED)
    assert accepted is not None
    assert (waiting.phase, accepted.status, accepted.reason) == (Phase.PENDING, "False", "PolicyNotFound")
    assert waiting.desired is None
    it.policies = [policy("late", maxDowntime="1s")]
    begun = it.decide(60).status
    assert begun.desired is not None
    assert begun.desired.max_downtime == timedelta(seconds=1)
    assert is_true(begun.conditions, ConditionType.ACCEPTED)


def test_a_policy_that_never_comes_is_not_waited_for_for_ever() -> None:
    it = Life([], READY)
    it.migration = it.migration.replace(spec=migration(policyRef={"name": "never"}).spec)
    it.decide(0)
    assert it.decide(15 * 60).status.phase == Phase.FAILED


def test_a_silent_agent_is_looked_at_again_whatever_else_is_missing() -> None:
    it = Life([])
    it.migration = it.migration.replace(spec=migration(policyRef={"name": "never"}).spec)
    it.decide(0)
    assert it.last is not None
    assert it.last.check_again is not None


def test_an_agent_that_went_silent_before_the_start_is_not_waited_for_for_ever() -> None:
    it = Life([LADDER], READY)
    it.decide(0)
    assert it.decide(1).status.phase == Phase.PENDING
    assert it.decide(24 * 3600).status.phase == Phase.FAILED


def test_a_policy_that_goes_while_the_migration_runs_changes_nothing_in_force() -> None:
    it = Life([LADDER], READY)
    desired = it.decide(0).status.desired
    it.report(attempts=[Attempt(number=1, start=NOW)])
    it.decide(1)
    it.policies = []
    it.migration = it.migration.replace(spec=migration(policyRef={"name": "p"}).spec)
    it.stall(since=2)
    after_it = it.decide(100).status
    assert after_it.phase == Phase.RUNNING
    assert after_it.desired == desired
    assert after_it.policy is not None
    assert after_it.policy.name == "p"
    assert not is_true(after_it.conditions, ConditionType.ACCEPTED)


def test_the_transition_time_of_a_condition_is_that_of_its_status() -> None:
    it = Life([LADDER])
    first = find_condition(it.decide(0).status.conditions, ConditionType.RECONCILING)
    second = find_condition(it.decide(30).status.conditions, ConditionType.RECONCILING)
    assert first is not None
    assert second is not None
    assert first.reason != second.reason
    assert first.last_transition_time == second.last_transition_time


@pytest.mark.parametrize(
    ("spec", "memory"),
    [
        ({"timeout": {"perGiB": "150s"}}, GIB),
        ({"stallingLimit": "1.5s", "progressTimeout": "2m30s"}, GIB),
        ({"bandwidth": {"perMigration": "1.5Gi", "postCopy": "123456789"}}, GIB),
        ({"timeout": {"perGiB": "150s"}}, 1000 * 2**20),
        ({"timeout": {"perGiB": "100s"}}, 3 * 10**9),
        ({"stallingLimit": "1500.5ms"}, GIB),
    ],
)
def test_while_nothing_happens_the_revision_stays(spec: dict[str, object], memory: int) -> None:
    report = source()
    assert report.vm is not None
    report = report.replace(vm=report.vm.replace(memory=memory))
    it = Life([policy(globalDefault=True, **spec)], READY.replace(source=report))
    it.decide(0)
    it.report(attempts=[Attempt(number=1, start=NOW)])
    revisions = []
    for second in range(1, 6):
        desired = it.decide(second).status.desired
        assert desired is not None
        revisions.append(desired.revision)
    assert revisions == [1] * 5


def test_a_step_is_taken_once_however_fine_its_value() -> None:
    fine = policy(
        globalDefault=True,
        maxDowntime="1ms",
        steps=[{"after": {"stalled": "10s"}, "setMaxDowntime": "100.4ms"}],
    )
    it = Life([fine], READY)
    it.decide(0)
    it.report(attempts=[Attempt(number=1, start=NOW)])
    it.stall(since=0)
    for moment in (10, 11, 30, 31, 60):
        it.decide(moment)
        it.answer(moment)
    assert len(it.migration.status.steps) == 1


MEMORY = st.integers(1, 64).map(lambda eighths: eighths * GIB // 8)
STATES = st.sampled_from(
    [
        (VMState.RUNNING, "Booted"),
        (VMState.PAUSED, "User"),
        (VMState.PAUSED, "PostCopy"),
        (VMState.ABSENT, "Unknown"),
        (VMState.SHUT_OFF, "Migrated"),
        (VMState.RUNNING, "Migrated"),
    ]
)
OUTCOMES = st.sampled_from([None, None, None, *AttemptOutcome])


@st.composite
def observed(draw: st.DrawFn) -> VMMigrationStatus:
    """What agents may have reported, whatever sense it makes."""
    outcome = draw(OUTCOMES)
    attempt = Attempt(number=1, start=NOW, end=None if outcome is None else after(5), outcome=outcome)
    return running(
        stalling_since=draw(st.one_of(st.none(), st.floats(0, 60))),
        memory_pass=draw(st.integers(0, 20)),
        attempts=draw(st.sampled_from([[], [attempt]])),
        source=draw(st.one_of(st.none(), STATES.map(lambda seen: source(*seen)))),
        target=draw(
            st.one_of(
                st.none(),
                st.just(target(ready=False)),
                st.just(target()),
                STATES.map(lambda seen: target(seen=vm(*seen))),
            )
        ),
    )


@given(
    status=observed(),
    at=st.floats(0, 2000),
    named=st.booleans(),
    cancel=st.booleans(),
    known=st.sampled_from([None, NODES, {"node-a"}]),
)
def test_deciding_again_on_what_was_written_changes_nothing(
    *, status: VMMigrationStatus, at: float, named: bool, cancel: bool, known: set[str] | None
) -> None:
    spec: dict[str, object] = {"cancel": cancel, **({"policyRef": {"name": "x"}} if named else {})}
    before = stored(migration(status, **spec))
    first = decide(before, around([LADDER], known), now=after(at))
    after_it = written(before, first)
    second = decide(after_it, around([LADDER], known), now=after(at))
    part = (*OWN_FIELDS, "conditions")
    has_just_begun = before.status.desired is None and first.status.desired is not None
    if not has_just_begun:  # the message of Reconciling tells the start itself, then what it waits for
        assert second.status.part(*part) == own_part(after_it.status).part(*part)
    assert second.status.desired == after_it.status.desired
    assert second.finalizer == first.finalizer


@given(reports=st.lists(st.tuples(st.floats(0, 30), observed(), st.booleans()), max_size=12))
def test_whatever_is_reported_revisions_only_grow_and_a_terminal_phase_stays(
    reports: list[tuple[float, VMMigrationStatus, bool]],
) -> None:
    it = Life([LADDER], READY)
    moment = 0.0
    for wait, status, answered in reports:
        moment += wait
        before = it.migration.status
        it.report(
            source=status.source,
            target=status.target,
            attempts=status.attempts,
            progress=status.progress,
            conditions=[
                *(each for each in before.conditions if each.type != ConditionType.MIGRATION_STALLING),
                *status.conditions,
            ],
        )
        if answered and before.desired is not None:
            it.answer(moment)
        now = it.decide(moment).status
        assert now.phase is not None
        if before.phase is not None and before.phase.terminal:
            assert (now.phase, now.desired, now.steps) == (before.phase, before.desired, before.steps)
        if before.desired is not None:
            assert now.desired is not None
            assert now.desired.revision - before.desired.revision == (now.desired != before.desired)
        assert 0 <= len(now.steps) - len(before.steps) <= 1
        assert it.last is not None
        assert it.last.finalizer == (not now.phase.terminal)


def test_the_finalizer_is_held_until_the_end_of_an_object_that_is_being_deleted() -> None:
    held = {"deletionTimestamp": NOW, "finalizers": ["someone.else/x", FINALIZER]}
    assert decide(migration(running(), held), around([LADDER]), now=after(1)).finalizer
    over = Attempt(number=1, start=NOW, end=after(1), outcome=AttemptOutcome.CANCELLED)
    ended = decide(migration(running(attempts=[over]), held), around([LADDER]), now=after(2))
    assert ended.status.phase == Phase.CANCELLED
    assert not ended.finalizer
