"""The audit trail: what was decided, in which attempt, and what became of it."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from vmferry_api.migrations import Applied, Attempt, AttemptOutcome, StepRecord
from vmferry_operator.decisions.actions import Action, ActionName, Move, recorded_action

MAX_RECORDS = 64
"""What the schema allows of the audit trail; the oldest go first."""
PENDING = "Pending"
APPLIED = "Applied"
FAILED = "Failed"
WITHDRAWN = "Withdrawn"
OVERTAKEN = "Overtaken: the attempt had ended"

_PARAMETERS = {
    ActionName.SET_MAX_DOWNTIME: "maxDowntime",
    ActionName.SET_BANDWIDTH: "bandwidth",
    ActionName.SWITCH_TO_POST_COPY: "technique",
    ActionName.SUSPEND: "suspend",
}
"""What the agent calls that which an action changes."""


def record(move: Move, words: str, *, attempt: int, revision: int, now: datetime) -> StepRecord:
    """The record of a move that has just been decided on."""
    return StepRecord(
        time=now,
        attempt=attempt,
        step=move.step,
        trigger=move.trigger,
        action=words,
        value=move.action.value,
        revision=revision,
    )


def settled(
    steps: Iterable[StepRecord], applied: Applied | None, attempts: Sequence[Attempt]
) -> list[StepRecord]:
    """The audit trail with the outcome of each step that was answered, or can't be any more."""
    return [step if step.outcome != PENDING else _settled(step, applied, attempts) for step in steps]


def withdrawn(steps: Iterable[StepRecord], name: ActionName, reason: str) -> list[StepRecord]:
    """The audit trail with each such action that still counts taken back."""
    return [
        step.replace(outcome=f"{WITHDRAWN}: {reason}") if action(step).name == name and stands(step) else step
        for step in steps
    ]


def closed(steps: Iterable[StepRecord]) -> list[StepRecord]:
    """The audit trail of a migration that is over: nothing is answered any more."""
    return [
        step.replace(outcome="Overtaken: the migration had ended") if step.outcome == PENDING else step
        for step in steps
    ]


def bounded(steps: Sequence[StepRecord], first_attempt_of_try: int) -> list[StepRecord]:
    """The audit trail without what is too much: the oldest that means nothing any more, else the oldest.

    A step that is forgotten would be taken again.
    """
    kept = list(steps)
    while len(kept) > MAX_RECORDS:
        spent = (place for place in range(len(kept)) if _spent(kept, place, first_attempt_of_try))
        del kept[next(spent, 0)]
    return kept


def _spent(steps: Sequence[StepRecord], place: int, first_attempt_of_try: int) -> bool:
    """Whether nothing follows any more from a record: its try is over, or a later one takes its place."""
    step = steps[place]
    done = action(step)
    if step.attempt is not None and step.attempt < first_attempt_of_try:
        return True
    if step.outcome.startswith(WITHDRAWN) or (done.name == ActionName.RESTART and done.value is None):
        return step.outcome != PENDING
    later = [action(other) for other in steps[place + 1 :] if stands(other) == stands(step)]
    last_value_counts = stands(step) and done.name in {ActionName.SET_MAX_DOWNTIME, ActionName.SET_BANDWIDTH}
    return done in later or (last_value_counts and done.name in {other.name for other in later})


def action(step: StepRecord) -> Action:
    """What was done."""
    return recorded_action(step)


def stands(step: StepRecord) -> bool:
    """Whether it counts: neither refused by the host nor taken back."""
    return not step.outcome.startswith((FAILED, WITHDRAWN))


def refused(step: StepRecord) -> bool:
    """Whether the host would not do it."""
    return step.outcome.startswith(FAILED)


def pending(steps: Iterable[StepRecord]) -> bool:
    """Whether the agent still owes an answer."""
    return any(step.outcome == PENDING for step in steps)


def since(steps: Iterable[StepRecord], attempt: int) -> list[StepRecord]:
    """Those of this attempt and later ones; one that names no attempt counts always."""
    return [step for step in steps if step.attempt is None or step.attempt >= attempt]


def _settled(step: StepRecord, applied: Applied | None, attempts: Sequence[Attempt]) -> StepRecord:
    number = step.attempt or (attempts[-1].number if attempts else 1)
    name = action(step).name
    later = next((attempt for attempt in attempts if attempt.number > number), None)
    ended = next((attempt.outcome for attempt in attempts if attempt.number == number), None)
    if name == ActionName.RESTART:
        return _settled_restart(step, later, ended)
    if applied is not None and applied.revision >= step.revision and applied.attempt == number:
        refusals = [
            f"{error.parameter}: {error.message}"
            for error in applied.errors
            if error.parameter == _PARAMETERS.get(name)
        ]
        if refusals:
            return step.replace(outcome=f"{FAILED}: {'; '.join(refusals)}"[:1024])
        return step.replace(outcome=APPLIED, effective=applied.time)
    if name == ActionName.ABORT and ended == AttemptOutcome.ABORTED:
        return step.replace(outcome=APPLIED)
    if later is not None or ended not in {None, AttemptOutcome.RESTARTED}:
        return step.replace(outcome=OVERTAKEN)
    return step


def _settled_restart(step: StepRecord, later: Attempt | None, ended: AttemptOutcome | None) -> StepRecord:
    """Where the attempt failed by itself, before it was given up for the restart, that goes on all the same."""
    if later is not None:
        return step.replace(outcome=APPLIED, effective=later.start)
    if ended in {AttemptOutcome.COMPLETED, AttemptOutcome.CANCELLED}:
        return step.replace(outcome=OVERTAKEN)
    return step
