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
    if name == ActionName.RESTART:
        if later is not None:
            return step.replace(outcome=APPLIED, effective=later.start)
    elif applied is not None and applied.revision >= step.revision and applied.attempt == number:
        refusals = [
            f"{error.parameter}: {error.message}"
            for error in applied.errors
            if error.parameter == _PARAMETERS.get(name)
        ]
        if refusals:
            return step.replace(outcome=f"{FAILED}: {'; '.join(refusals)}"[:1024])
        return step.replace(outcome=APPLIED, effective=applied.time)
    ended = next((attempt.outcome for attempt in attempts if attempt.number == number), None)
    if name == ActionName.ABORT and ended == AttemptOutcome.ABORTED:
        return step.replace(outcome=APPLIED)
    if later is not None or ended not in {None, AttemptOutcome.RESTARTED}:
        return step.replace(outcome="Overtaken: the attempt had ended")
    return step
