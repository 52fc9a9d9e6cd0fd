"""What has happened to a migration, and why, in the order in which it did."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubectl_vmferry.views.changes import taken
from kubectl_vmferry.views.figures import downtime, size, span
from kubectl_vmferry.views.standing import phase, sentence
from vmferry_api.conditions import ConditionType, Status, find_condition
from vmferry_api.migrations import Attempt, AttemptOutcome, StepRecord, VMMigration


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something that happened."""

    time: datetime
    text: str
    because: str = ""
    style: str = ""


_AT_ONCE = timedelta(seconds=0.5)
_ENDS = {
    AttemptOutcome.COMPLETED: "green",
    AttemptOutcome.RESTARTED: "",
    AttemptOutcome.CANCELLED: "yellow",
    AttemptOutcome.ABORTED: "red",
    AttemptOutcome.FAILED: "red",
}


def timeline(migration: VMMigration) -> list[Entry]:
    """All that the status still tells of it."""
    entries = [
        *_asked(migration),
        *(entry for each in migration.status.attempts for entry in _attempt(each)),
        *(_step(each) for each in migration.status.steps),
        *_stalling(migration),
        *_interruption(migration),
    ]
    # the end comes last: conditions have whole seconds, what led to it has not
    return [*sorted(entries, key=lambda each: each.time), *_end(migration)]


def _asked(migration: VMMigration) -> Iterator[Entry]:
    spec, created = migration.spec, migration.metadata.creation_timestamp
    if created is not None:
        yield Entry(time=created, text=f"asked for: {spec.vm} from {spec.source_node} to {spec.target_node}")
    deleted = migration.metadata.deletion_timestamp
    if deleted is not None:
        yield Entry(time=deleted, text="the object was deleted: that cancels", style="yellow")


def _attempt(attempt: Attempt) -> Iterator[Entry]:
    yield Entry(time=attempt.start, text=f"attempt {attempt.number} begins")
    if attempt.end is None:
        return
    parts = [f"attempt {attempt.number} ends: {attempt.outcome}"]
    if attempt.downtime is not None:
        parts.append(f"stopped for {downtime(attempt.downtime)}")
    if attempt.interrupted is not None:
        parts.append(f"interrupted for {span(attempt.interrupted)}")
    if attempt.transferred is not None:
        parts.append(f"sent {size(attempt.transferred)}")
    style = _ENDS[attempt.outcome] if attempt.outcome else ""
    yield Entry(time=attempt.end, text=", ".join(parts), because=attempt.error or "", style=style)


def _step(step: StepRecord) -> Entry:
    went = step.outcome
    style = "bold"
    if step.effective is not None and step.outcome == "Applied":
        took = step.effective - step.time
        went = "in force at once" if took < _AT_ONCE else f"in force after {span(took)}"
    elif step.outcome == "Pending":
        went = "not answered yet"
    else:
        style = "yellow"
    return Entry(time=step.time, text=f"{taken(step)} ({went})", because=step.trigger, style=style)


def _stalling(migration: VMMigration) -> Iterator[Entry]:
    found = find_condition(migration.status.conditions, ConditionType.MIGRATION_STALLING)
    if found is not None and found.status == Status.TRUE:
        yield Entry(time=found.last_transition_time, text="stalling", because=found.message, style="yellow")


def _interruption(migration: VMMigration) -> Iterator[Entry]:
    recovery = migration.status.recovery
    if recovery is None:
        return
    yield Entry(
        time=recovery.since, text="post-copy is interrupted", because=recovery.error or "", style="bold red"
    )
    if recovery.end is not None:
        tried = f" after {recovery.tries} tries" if recovery.tries else ""
        yield Entry(time=recovery.end, text=f"memory flows again{tried}", style="green")


def _end(migration: VMMigration) -> Iterator[Entry]:
    found = find_condition(migration.status.conditions, ConditionType.COMPLETE)
    if found is None or not migration.status.is_over:
        return
    style = "bold green" if found.status == Status.TRUE else "bold red"
    yield Entry(
        time=found.last_transition_time, text=phase(migration), because=sentence(migration), style=style
    )
