"""What happens to a migration counts once."""

from datetime import timedelta

import pytest
from migrations_in_words import NOW, after, first_desired, migration, policy, running

from vmferry_api.conditions import Condition, ConditionType, Status
from vmferry_api.migrations import (
    Applied,
    AppliedPolicy,
    Attempt,
    AttemptOutcome,
    Phase,
    StepRecord,
    VMMigrationStatus,
)
from vmferry_operator.measurements import Measurements
from vmferry_operator.tallies import tally

BY = AppliedPolicy(name="p")
DESIRED = first_desired(policy().spec)
SECOND = timedelta(seconds=1)


class Counted(Measurements):
    """Writes down what it is told."""

    def __init__(self):
        self.told = []

    def __getattribute__(self, name):
        if name.startswith("_") or name == "told":
            return super().__getattribute__(name)
        return lambda *words, **more: self.told.append((name, *words, *more.values()))


def told(before, now):
    """What counts between two states, and that nothing more does from there on."""
    counted, again = Counted(), Counted()
    before, now = (migration(each.replace(policy=BY)) for each in (before, now))
    tally(before, now, counted, at=after(60))
    tally(now, now, again, at=after(61))
    assert again.told == []
    return counted.told


def attempt(outcome=None, **words):
    return Attempt(number=1, start=after(5), end=after(20) if outcome else None, outcome=outcome, **words)


def of(*attempts, **words):
    return VMMigrationStatus(attempts=list(attempts), **words)


def true(type_, reason="Reason"):
    return Condition(type=type_, status=Status.TRUE, reason=reason, last_transition_time=NOW)


def test_the_first_attempt_tells_how_long_it_was_waited_for():
    assert told(of(), of(attempt())) == [("migration_begun", "p", 5 * SECOND)]


def test_an_attempt_counts_by_its_outcome_with_what_it_sent():
    ended = attempt(AttemptOutcome.ABORTED, transferred=7)
    assert told(of(attempt()), of(ended)) == [("attempt_ended", "p", AttemptOutcome.ABORTED, 7)]


def test_a_guest_s_downtime_counts_once_it_is_known_also_after_the_outcome():
    done, known = attempt(AttemptOutcome.COMPLETED), attempt(AttemptOutcome.COMPLETED, downtime=SECOND)
    stopped = ("guest_stopped", "p", SECOND)
    assert told(of(attempt()), of(known)) == [("attempt_ended", "p", AttemptOutcome.COMPLETED, None), stopped]
    assert told(of(done), of(known)) == [stopped]


@pytest.mark.parametrize(
    ("before", "now", "lasted"),
    [
        (attempt(), attempt(interrupted=7 * SECOND), [7]),
        (attempt(interrupted=7 * SECOND), attempt(interrupted=7 * SECOND), []),
        (attempt(interrupted=7 * SECOND), attempt(interrupted=9 * SECOND), [2]),
        (attempt(), attempt(), []),
    ],
)
def test_an_interruption_counts_with_what_it_took_once_it_is_over(before, now, lasted):
    assert told(of(before), of(now)) == [("post_copy_stood_still", "p", each * SECOND) for each in lasted]


def test_one_that_ends_with_its_attempt_counts_too():
    ended = attempt(AttemptOutcome.FAILED, interrupted=9 * SECOND)
    assert told(of(attempt(interrupted=4 * SECOND)), of(ended)) == [
        ("attempt_ended", "p", AttemptOutcome.FAILED, None),
        ("post_copy_stood_still", "p", 5 * SECOND),
    ]


def test_an_end_counts_with_what_it_took_from_the_first_attempt_to_the_last():
    ended = attempt(AttemptOutcome.COMPLETED)
    before, now = of(ended, phase=Phase.RUNNING), of(ended, phase=Phase.SUCCEEDED)
    assert told(before, now) == [("migration_ended", "p", Phase.SUCCEEDED, 15 * SECOND)]


def test_a_failure_counts_by_its_reason_though_no_attempt_was_made():
    failed = of(phase=Phase.FAILED, conditions=[true(ConditionType.FAILED, "VMNotFound")])
    assert told(of(), failed) == [
        ("migration_ended", "p", Phase.FAILED, None),
        ("migration_failed", "VMNotFound"),
    ]


@pytest.mark.parametrize(
    ("type_", "name"),
    [
        (ConditionType.MIGRATION_STALLING, "stalled"),
        (ConditionType.POST_COPY_INTERRUPTED, "post_copy_interrupted"),
    ],
)
def test_what_turns_true_counts_each_time(type_, name):
    assert told(of(), of(conditions=[true(type_)])) == [(name, "p")]
    assert told(of(conditions=[true(type_)]), of()) == []


STEP = StepRecord(time=NOW, trigger="t", action="setMaxDowntime 100ms → 500ms", revision=2)


@pytest.mark.parametrize(
    ("before", "now", "counted"),
    [
        (None, "Pending", []),
        ("Pending", "Applied", ["Applied"]),
        ("Pending", "Failed: maxDowntime: refused", ["Failed"]),
        ("Applied", "Withdrawn: the policy no longer allows post-copy", ["Withdrawn"]),
        (None, "Applied", ["Applied"]),
    ],
)
def test_a_step_counts_when_it_comes_to_an_outcome(before, now, counted):
    steps = [STEP.replace(outcome=before)] if before else []
    found = told(of(steps=steps), of(steps=[STEP.replace(outcome=now)]))
    assert found == [("step_settled", "setMaxDowntime", outcome) for outcome in counted]


def test_a_revision_counts_when_it_is_decided_and_when_the_host_has_done_it():
    first, second = DESIRED, DESIRED.replace(revision=2, time=after(50))
    done = [Applied(revision=number, attempt=1, time=after(55)) for number in (1, 2)]
    assert told(of(), of(desired=first)) == [("revision_decided",)]
    assert told(of(desired=first, applied=done[0]), of(desired=second, applied=done[0])) == [
        ("revision_decided",)
    ]
    assert told(of(desired=second, applied=done[0]), of(desired=second, applied=done[1])) == [
        ("revision_applied", 10 * SECOND)
    ]


def test_reports_of_progress_count_nothing():
    assert told(running(memory_pass=3), running(memory_pass=4)) == []
