"""What has happened to a migration, counted once, by what its status says that it did not say before."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from vmferry_api.conditions import ConditionType, find_condition, is_true
from vmferry_api.migrations import Attempt, AttemptOutcome, VMMigration, VMMigrationStatus
from vmferry_operator.decisions.records import PENDING, action
from vmferry_operator.measurements import Measurements
from vmferry_operator.standing import policy_name

_NONE = timedelta(0)


def tally(before: VMMigration, now: VMMigration, measurements: Measurements, *, at: datetime) -> None:
    """Count what has happened in between.

    Args:
        before: The migration as it was seen last; it is the same object.
        now: As it is seen now.
        measurements: Counts.
        at: The time of seeing it: of what depends on two clocks otherwise.
    """
    _attempts(before.status.attempts, now, measurements)
    _end(before, now, measurements)
    _conditions(before.status, now, measurements)
    _steps(before.status, now.status, measurements)
    _revisions(before.status, now.status, measurements, at)


def _attempts(before: Iterable[Attempt], now: VMMigration, measurements: Measurements) -> None:
    policy, known = policy_name(now), {each.number: each for each in before}
    for attempt in now.status.attempts:
        old = known.get(attempt.number)
        created = now.metadata.creation_timestamp
        if old is None and attempt.number == 1 and created is not None:
            measurements.migration_begun(policy, waited=attempt.start - created)
        if attempt.outcome is not None and (old is None or old.outcome is None):
            measurements.attempt_ended(policy, attempt.outcome, sent=attempt.transferred)
        if attempt.downtime is not None and _moved(attempt) and not (old is not None and _moved(old)):
            measurements.guest_stopped(policy, attempt.downtime)
        stood_still = _interrupted(attempt) - (_interrupted(old) if old is not None else _NONE)
        if stood_still > _NONE:
            measurements.post_copy_stood_still(policy, stood_still)


def _interrupted(attempt: Attempt) -> timedelta:
    """In all its interruptions that are over; so one more is over where that has grown."""
    return attempt.interrupted or _NONE


def _moved(attempt: Attempt) -> bool:
    return attempt.outcome == AttemptOutcome.COMPLETED and attempt.downtime is not None


def _end(before: VMMigration, now: VMMigration, measurements: Measurements) -> None:
    phase, attempts = now.status.phase, now.status.attempts
    if phase is None or not phase.terminal or before.status.is_over:
        return
    last = attempts[-1].end if attempts else None
    took = last - attempts[0].start if last is not None else None
    measurements.migration_ended(policy_name(now), phase, took=took)
    failed = find_condition(now.status.conditions, ConditionType.FAILED)
    if failed is not None and is_true(now.status.conditions, ConditionType.FAILED):
        measurements.migration_failed(failed.reason)


def _conditions(before: VMMigrationStatus, now: VMMigration, measurements: Measurements) -> None:
    for type_, count in (
        (ConditionType.MIGRATION_STALLING, measurements.stalled),
        (ConditionType.POST_COPY_INTERRUPTED, measurements.post_copy_interrupted),
    ):
        if is_true(now.status.conditions, type_) and not is_true(before.conditions, type_):
            count(policy_name(now))


def _steps(before: VMMigrationStatus, now: VMMigrationStatus, measurements: Measurements) -> None:
    """A step is known by its time and revision: the list forgets the oldest."""
    known = {(each.time, each.revision): outcome_word(each.outcome) for each in before.steps}
    for step in now.steps:
        outcome = outcome_word(step.outcome)
        if outcome not in (PENDING, known.get((step.time, step.revision))):
            measurements.step_settled(action(step).name, outcome)


def outcome_word(outcome: str) -> str:
    """Of an outcome without what it was about."""
    return outcome.partition(":")[0]


def _revisions(
    before: VMMigrationStatus, now: VMMigrationStatus, measurements: Measurements, at: datetime
) -> None:
    desired, applied = now.desired, now.applied
    if desired is None:
        return
    if before.desired is None or desired.revision > before.desired.revision:
        measurements.revision_decided()
    was = before.applied.revision if before.applied is not None else 0
    if applied is not None and was < desired.revision <= applied.revision and desired.time is not None:
        measurements.revision_applied(took=at - desired.time)
