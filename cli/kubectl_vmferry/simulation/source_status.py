"""The source agent's part of the status, as vmferry_agent.migrations.source_status writes it."""

from datetime import timedelta

from kubectl_vmferry.simulation.jobs import JobEnd
from kubectl_vmferry.simulation.simulated_time import at
from vmferry_api.conditions import ConditionType, Status, condition, find_condition
from vmferry_api.migrations import (
    Applied,
    Attempt,
    AttemptOutcome,
    Desired,
    Progress,
    SourceReport,
    VMMigrationStatus,
    VMState,
)

CONDITIONS = (
    ConditionType.RUNNING,
    ConditionType.MIGRATION_STALLING,
    ConditionType.POST_COPY_INTERRUPTED,
)


class SourceStatus:
    """What the source's agent says.

    Args:
        report: The VM as the node sees it before it starts.
    """

    def __init__(self, report: SourceReport) -> None:
        self.part = VMMigrationStatus(source=report)

    @property
    def attempts(self) -> list[Attempt]:
        """All attempts so far."""
        return self.part.attempts

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that has begun and not ended."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].end is None else None

    @property
    def memory(self) -> int:
        """The VM's, in bytes."""
        vm = self.part.source.vm if self.part.source else None
        return (vm.memory if vm else None) or 0

    def see(self, state: VMState, reason: str | None) -> None:
        """Say in which state the VM is here."""
        source = self.part.source
        if source is not None and source.vm is not None:
            self._change(source=source.replace(vm=source.vm.replace(state=state, reason=reason)))

    @property
    def last_attempt(self) -> int:
        """The number of the attempt that was begun last; 0: none was."""
        return self.attempts[-1].number if self.attempts else 0

    def begin(self, number: int, *, now: float) -> None:
        """Open an attempt."""
        attempt = Attempt(number=number, start=at(now))
        self._change(attempts=[*self.attempts, attempt], progress=None)

    def end(self, end: JobEnd, outcome: AttemptOutcome, reason: str | None) -> None:
        """Close the open attempt."""
        progress = self.part.progress
        attempt = self.attempts[-1].replace(
            end=at(end.time),
            outcome=outcome,
            error=reason,
            downtime=None if end.downtime is None else timedelta(milliseconds=round(end.downtime * 1000)),
            transferred=progress.transferred if progress else None,
        )
        if progress is not None and outcome == AttemptOutcome.COMPLETED:
            progress = progress.replace(percent=100, remaining=0)
        conditions = [
            condition(self.part.conditions, type_, Status.FALSE, outcome, reason or "", now=at(end.time))
            for type_ in CONDITIONS
            if find_condition(self.part.conditions, type_)
        ]
        self._change(attempts=[*self.attempts[:-1], attempt], progress=progress, conditions=conditions)

    def apply(self, desired: Desired, *, now: float) -> None:
        """Say that a revision was carried out."""
        self._change(applied=Applied(revision=desired.revision, attempt=desired.attempt, time=at(now)))

    def advance(self, progress: Progress) -> None:
        """Say how far it is."""
        self._change(progress=progress)

    def set(self, type_: ConditionType, status: Status, reason: str, message: str, *, now: float) -> None:
        """Set a condition; while status and reason stay the same the message does, too."""
        old = find_condition(self.part.conditions, type_)
        if old is not None and (old.status, old.reason) == (status, reason):
            return
        new = condition(self.part.conditions, type_, status, reason, message, now=at(now))
        others = [each for each in self.part.conditions if each.type != type_]
        self._change(conditions=[*others, new])

    def _change(self, **changes: object) -> None:
        self.part = self.part.replace(**changes)
