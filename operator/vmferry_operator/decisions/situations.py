"""Where a running migration stands, as the status tells it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.conditions import ConditionType, true_since
from vmferry_api.features import Feature
from vmferry_api.migrations import (
    Attempt,
    AttemptOutcome,
    PassRecord,
    Phase,
    Progress,
    SourceReport,
    TargetReport,
    VMMigration,
)
from vmferry_operator.decisions.actions import ActionName, recorded_action

GIB = 2**30
FAILURES = {AttemptOutcome.FAILED, AttemptOutcome.ABORTED}
"""The outcomes after which a policy may have it tried again; a restart is none of them, nor a cancel."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What the planner looks at."""

    attempts: Sequence[Attempt]
    memory_pass: int
    stalling_since: datetime | None
    memory: int | None
    """The VM's, in bytes."""
    in_post_copy: bool
    progress: Progress | None
    """Of the attempt that runs."""
    post_copy_possible: bool
    """Both hosts say that they can take part in post-copy."""
    restarted: Collection[int] = ()
    """The attempts in which a restart was ordered: the next one follows from that, however they ended."""

    @property
    def attempt(self) -> Attempt | None:
        """The attempt that runs, if one does."""
        last = self.last_attempt
        return last if last is not None and last.end is None else None

    @property
    def last_attempt(self) -> Attempt | None:
        """The attempt that was begun last."""
        return self.attempts[-1] if self.attempts else None

    @property
    def first_attempt_of_try(self) -> int:
        """The number of the attempt that this try began with: restarts belong to the try, a retry is a new one."""
        failed = self._failed
        return failed[-1] + 1 if failed else 1

    @property
    def failures(self) -> int:
        """How many tries have failed.

        Attempts that are too many to be remembered count too, or tries of several attempts would never be enough.
        """
        forgotten = self.attempts[0].number - 1 if self.attempts else 0
        return forgotten + len(self._failed)

    @property
    def _failed(self) -> Sequence[int]:
        """The attempts that tries have failed with; one in which a restart was ordered goes on with that."""
        return [
            attempt.number
            for attempt in self.attempts
            if attempt.outcome in FAILURES and attempt.number not in self.restarted
        ]

    @property
    def needed_downtime(self) -> timedelta | None:
        """How long the guest would have to stop now."""
        return self.progress.needed_downtime if self.progress else None

    @property
    def needed(self) -> str:
        """The needed downtime in words, for reasons."""
        needed = self.needed_downtime
        return "unknown" if needed is None else f"{round(needed.total_seconds() * 1000)} ms"

    @property
    def passes(self) -> Sequence[PassRecord]:
        """What the last passes have shown, oldest first."""
        return self.progress.recent if self.progress else []


def situation(migration: VMMigration) -> Situation:
    """Read it from the reports."""
    status = migration.status
    running = bool(status.attempts) and status.attempts[-1].end is None
    vm = status.source.vm if status.source else None
    progress = status.progress if running else None
    return Situation(
        attempts=status.attempts,
        memory_pass=progress.memory_pass if progress else 0,
        stalling_since=true_since(status.conditions, ConditionType.MIGRATION_STALLING),
        memory=vm.memory if vm else None,
        in_post_copy=in_post_copy(migration),
        progress=progress,
        post_copy_possible=_can_post_copy(status.source) and _can_post_copy(status.target),
        restarted={
            step.attempt
            for step in status.steps
            if step.attempt is not None and recorded_action(step).name == ActionName.RESTART
        },
    )


def in_post_copy(migration: VMMigration) -> bool:
    """Whether a host has reported that post-copy is on (from then on nothing aborts)."""
    reports = (migration.status.source, migration.status.target)
    return migration.status.phase in {Phase.POST_COPY, Phase.RECOVERING} or any(
        report is not None and report.vm is not None and report.vm.in_post_copy for report in reports
    )


def _can_post_copy(report: SourceReport | TargetReport | None) -> bool:
    return report is not None and Feature.POST_COPY in (report.features or [])
