"""Where a running migration stands, as the status tells it."""

from dataclasses import dataclass
from datetime import datetime

from vmferry_api.conditions import ConditionType, Status, find_condition
from vmferry_api.migrations import Attempt, AttemptOutcome, Phase, VMMigration

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the planner looks at."""

    attempt: Attempt | None
    """The attempt that runs, if one does."""
    ended: AttemptOutcome | None
    """How the last attempt ended; None: it runs, or none has begun."""
    memory_pass: int
    stalling_since: datetime | None
    memory: int | None
    """The VM's, in bytes."""
    in_post_copy: bool
    needed: str
    """The needed downtime in words, for reasons."""


def situation(migration: VMMigration) -> Situation:
    """Read it from the reports."""
    status = migration.status
    attempt = status.attempts[-1] if status.attempts and status.attempts[-1].end is None else None
    stalling = find_condition(status.conditions, ConditionType.MIGRATION_STALLING)
    vm = status.source.vm if status.source else None
    progress = status.progress if attempt else None
    needed = progress.needed_downtime if progress else None
    return Situation(
        attempt=attempt,
        ended=status.attempts[-1].outcome if status.attempts else None,
        memory_pass=progress.memory_pass if progress else 0,
        stalling_since=stalling.last_transition_time if stalling and stalling.status == Status.TRUE else None,
        memory=vm.memory if vm else None,
        in_post_copy=in_post_copy(migration),
        needed="unknown" if needed is None else f"{round(needed.total_seconds() * 1000)} ms",
    )


def in_post_copy(migration: VMMigration) -> bool:
    """Whether a host has reported that post-copy is on (from then on nothing aborts)."""
    reports = (migration.status.source, migration.status.target)
    return migration.status.phase in {Phase.POST_COPY, Phase.RECOVERING} or any(
        report is not None and report.vm is not None and (report.vm.reason or "").startswith("PostCopy")
        for report in reports
    )
