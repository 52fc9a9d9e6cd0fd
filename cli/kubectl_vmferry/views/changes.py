"""What has changed of a migration between two looks at it, a line for each: the watch without a terminal."""

from collections.abc import Iterator

from kubectl_vmferry.views.figures import downtime, size
from kubectl_vmferry.views.standing import SOMEBODY_IS_AWAY, phase, sentence
from vmferry_api.conditions import Condition, ConditionType, Status, find_condition
from vmferry_api.migrations import Progress, StepRecord, VMMigration, VMMigrationStatus

_BEFORE_THE_START = (ConditionType.ACCEPTED, ConditionType.TARGET_READY)
_BAD = (ConditionType.MIGRATION_STALLING, ConditionType.POST_COPY_INTERRUPTED)
_OVER_AGAIN = {
    ConditionType.MIGRATION_STALLING: "it gets on again",
    ConditionType.POST_COPY_INTERRUPTED: "memory flows again",
}


def changes(before: VMMigration | None, after: VMMigration) -> list[str]:
    """What is new, the phase last where it is the end.

    Args:
        before: As it was seen last; None: not at all.
        after: As it is now.
    """
    old = before.status if before is not None else VMMigrationStatus()
    lines = [
        *_conditions(old, after.status, _BEFORE_THE_START),
        *_queue(old, after.status),
        *_progress(old.progress, after.status.progress),
        *_conditions(old, after.status, _BAD),
        *_steps(old, after.status),
        *_silence(old, after.status),
    ]
    moved = _phase(before, after)
    return [*lines, *moved] if after.status.is_over else [*moved, *lines]


def _phase(before: VMMigration | None, after: VMMigration) -> Iterator[str]:
    if before is not None and before.status.phase == after.status.phase:
        return
    said = sentence(after)
    yield f"{phase(after)}: {said}" if said else phase(after)


def _conditions(
    old: VMMigrationStatus, new: VMMigrationStatus, types: tuple[ConditionType, ...]
) -> Iterator[str]:
    for type_ in types:
        found = find_condition(new.conditions, type_)
        before = find_condition(old.conditions, type_)
        if found is None or found.status == Status.UNKNOWN or _same(before, found):
            continue
        if type_ in _BAD and found.status == Status.FALSE:
            if before is not None and before.status == Status.TRUE:
                yield f"{type_}=False: {_OVER_AGAIN[type_]}"
            continue
        yield f"{type_}={found.status}: {_said(type_, found, new)}"


def _same(before: Condition | None, found: Condition) -> bool:
    return before is not None and (before.status, before.reason) == (found.status, found.reason)


def _said(type_: ConditionType, found: Condition, status: VMMigrationStatus) -> str:
    if type_ == ConditionType.ACCEPTED and found.status == Status.TRUE and status.policy is not None:
        return f"policy {status.policy.name}: {found.message}"
    return found.message or found.reason


def _queue(old: VMMigrationStatus, new: VMMigrationStatus) -> Iterator[str]:
    if new.queue is not None and (old.queue is None or old.queue.position != new.queue.position):
        yield f"place {new.queue.position} in the queue: {new.queue.message}"


def _progress(old: Progress | None, new: Progress | None) -> Iterator[str]:
    """A line for each pass; it is reported twice, and the second report has the figures."""
    if new is None or new.memory_pass == 0:
        return
    if old is None or (new.memory_pass, new.needed_downtime) != (old.memory_pass, old.needed_downtime):
        yield (
            f"pass {new.memory_pass}, {new.percent} %, sent {size(new.transferred)}, "
            f"needed downtime {downtime(new.needed_downtime)}, granted {downtime(new.max_downtime)}"
        )


def _steps(old: VMMigrationStatus, new: VMMigrationStatus) -> Iterator[str]:
    known = {(each.time, each.revision): each for each in old.steps}
    for step in new.steps:
        before = known.get((step.time, step.revision))
        if before is None:
            yield f"{taken(step)}, because: {step.trigger}"
        elif step.outcome not in {before.outcome, "Applied"}:
            yield f"{taken(step)}: {step.outcome}"


def taken(step: StepRecord) -> str:
    """A step that was taken, in words."""
    by = "the planner" if step.step is None else f"step {step.step}"
    return f"{by}: {step.action}"


def _silence(old: VMMigrationStatus, new: VMMigrationStatus) -> Iterator[str]:
    """What is in the way, as far as no phase and no other condition tells it."""
    for type_ in (ConditionType.RECONCILING, ConditionType.STALLED):
        found = find_condition(new.conditions, type_)
        before = find_condition(old.conditions, type_)
        if found is None or new.is_over or found.reason not in SOMEBODY_IS_AWAY:
            continue
        if before is None or before.reason != found.reason:
            yield f"{found.reason}: {found.message}"
