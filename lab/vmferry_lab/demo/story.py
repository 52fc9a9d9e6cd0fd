"""What happens to a migration, line by line, as its status tells it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from vmferry_api.conditions import ConditionType, Status, find_condition
from vmferry_api.durations import format_duration
from vmferry_api.migrations import Phase, Progress, VMMigration


@dataclass
class Story:
    """Turns each new status into the lines that it adds."""

    _phase: Phase | None = None
    _stalling: Status = Status.FALSE
    _steps: int = 0
    _progress: Progress | None = None
    _told: set[str] = field(default_factory=set)

    def lines(self, migration: VMMigration) -> Iterator[str]:
        """What is new, in the order in which it happened."""
        status = migration.status
        yield from self._reasons(migration)
        happened = sorted([*self._figures(migration), *self._stall(migration), *self._taken(migration)])
        for elapsed, text in happened:
            yield f"{max(0, round(elapsed.total_seconds())):>4} s  {text}"
        if status.phase != self._phase:
            self._phase = status.phase
            if status.is_over:
                yield f"{status.phase}: {_conclusion(migration)}"

    def _reasons(self, migration: VMMigration) -> Iterator[str]:
        """Before the start: the policy, the target, in the operator's words."""
        for type_ in (ConditionType.ACCEPTED, ConditionType.TARGET_READY):
            found = find_condition(migration.status.conditions, type_)
            if found is None or found.reason in self._told or found.status == Status.UNKNOWN:
                continue
            self._told.add(found.reason)
            policy = migration.status.policy
            message = found.message
            if type_ == ConditionType.ACCEPTED and policy is not None:
                message = f"policy {policy.name}, {policy.why}"
            yield f"{type_}={found.status}: {message}"

    def _figures(self, migration: VMMigration) -> Iterator[tuple[timedelta, str]]:
        progress = migration.status.progress
        if progress is not None and progress != self._progress:
            yield progress.elapsed, _figures(progress)
        self._progress = progress

    def _taken(self, migration: VMMigration) -> Iterator[tuple[timedelta, str]]:
        steps = migration.status.steps
        for step in steps[self._steps :]:
            text = f"step {step.step}: {step.action}   because: {step.trigger}"
            yield _elapsed(migration, step.time), text
        self._steps = len(steps)

    def _stall(self, migration: VMMigration) -> Iterator[tuple[timedelta, str]]:
        found = find_condition(migration.status.conditions, ConditionType.MIGRATION_STALLING)
        status = found.status if found else Status.FALSE
        if found is not None and status != self._stalling:
            text = found.message if status == Status.TRUE else "it gets on again"
            yield _elapsed(migration, found.last_transition_time), f"MigrationStalling={status}: {text}"
        self._stalling = status


def _figures(progress: Progress) -> str:
    needed = "" if progress.needed_downtime is None else format_duration(progress.needed_downtime)
    granted = "" if progress.max_downtime is None else format_duration(progress.max_downtime)
    return (
        f"pass {progress.memory_pass:<3} {progress.percent:>3} %  "
        f"sent {progress.transferred / 2**20:>4.0f} MiB  needed downtime {needed:>6}  granted {granted:>6}"
    )


def _elapsed(migration: VMMigration, moment: datetime) -> timedelta:
    """Since the attempt began."""
    attempts = migration.status.attempts
    return moment - attempts[-1].start if attempts else timedelta(0)


def _conclusion(migration: VMMigration) -> str:
    type_ = ConditionType.FAILED if migration.status.phase == Phase.FAILED else ConditionType.COMPLETE
    found = find_condition(migration.status.conditions, type_)
    return found.message if found else ""
