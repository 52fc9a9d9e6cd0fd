"""One attempt as the source's agent sees it through, as vmferry_agent.migrations.attempt does on a host."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from kubectl_vmferry.simulation.jobs import Job, JobEnd
from kubectl_vmferry.simulation.source_status import SourceStatus
from vmferry_agent.decisions.changes import Parameter, Value, at_start, bandwidth, changes
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.figures import progress
from vmferry_agent.decisions.limits import overrun
from vmferry_agent.decisions.outcome import GivenUp
from vmferry_agent.decisions.ramp import ramp_downtime
from vmferry_agent.hypervisor.port import Sample
from vmferry_api.conditions import ConditionType, Status
from vmferry_api.durations import format_duration
from vmferry_api.migrations import AttemptOutcome, Desired, DesiredState, VMState
from vmferry_api.quantities import format_quantity, rounded


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a job is started with."""

    desired: Desired
    max_downtime: timedelta
    now: float


StartJob = Callable[[Start], Job]


class RunningAttempt:
    """Applies what is desired, watches, gives up where it must, reports.

    Args:
        desired: What is wanted at the start.
        status: Where to report.
        start_job: Starts a migration.
        now: The time in seconds.
    """

    def __init__(self, desired: Desired, *, status: SourceStatus, start_job: StartJob, now: float) -> None:
        self._status = status
        self._number = desired.attempt
        self._began = self._revision_at = now
        self._revision = self._applied = 0
        self._first_pass_ended_at: float | None = None
        self._convergence = Convergence(progress_at=now)
        self._given_up: GivenUp | None = None
        self._granted = self._max_downtime(desired, now=now)
        self._in_force: dict[Parameter, Value] = {
            **at_start(desired),
            Parameter.MAX_DOWNTIME: self._granted,
        }
        self.job = start_job(Start(desired=desired, max_downtime=self._granted, now=now))
        status.begin(self._number, now=now)

    def look(self, desired: Desired, *, now: float) -> bool:
        """One look at the host, and what follows from it; returns whether the attempt is over."""
        self.job.run_until(now)
        if self.job.end is not None and self.job.end.time <= now:
            self._close(self.job.end)
            return True
        if self._number == desired.attempt and desired.revision != self._revision:
            self._revision, self._revision_at = desired.revision, now
        sample = self.job.sample()
        self._convergence = self._convergence.after(sample, now=now, in_post_copy=self.job.in_post_copy)
        if sample.memory_pass > 1 and self._first_pass_ended_at is None:
            self._first_pass_ended_at = now
        if sample.memory_pass > 0 and self._number == desired.attempt:
            self._apply(desired, now=now)
        self._report(sample, desired, now=now)
        self._give_up_if_due(desired, now=now)
        return False

    def _apply(self, desired: Desired, *, now: float) -> None:
        self._granted = self._max_downtime(desired, now=now)
        for change in changes(
            desired, self._in_force, max_downtime=self._granted, in_post_copy=self.job.in_post_copy
        ):
            self.job.set(change)
            if change.parameter == Parameter.BANDWIDTH:
                before = self._in_force.get(Parameter.BANDWIDTH)
                known = before if isinstance(before, int) else None
                self._convergence = self._convergence.with_bandwidth(known, bandwidth(desired))
            self._in_force[change.parameter] = change.value
        if desired.revision != self._applied:
            self._applied = desired.revision
            self._status.apply(desired, now=now)

    def _max_downtime(self, desired: Desired, *, now: float) -> timedelta:
        ramp = desired.agent_downtime_ramp
        if ramp is None:
            return desired.max_downtime or timedelta(milliseconds=300)
        ended_at = self._first_pass_ended_at
        since = None if ended_at is None else timedelta(seconds=now - ended_at)
        return ramp_downtime(ramp, self._status.memory, since)

    def _give_up_if_due(self, desired: Desired, *, now: float) -> None:
        if self._given_up is not None or self.job.in_post_copy:
            return
        if desired.attempt > self._number:
            self._given_up = GivenUp(outcome=AttemptOutcome.RESTARTED, reason=f"restarted: {desired.reason}")
        elif desired.state == DesiredState.ABORT:
            self._given_up = GivenUp(outcome=AttemptOutcome.ABORTED, reason=f"aborted: {desired.reason}")
        else:
            without_progress = now - max(self._convergence.progress_at, self._revision_at)
            limit = overrun(
                desired,
                without_progress=timedelta(seconds=without_progress),
                elapsed=timedelta(seconds=now - self._began),
            )
            if limit is not None:
                self._given_up = GivenUp(outcome=AttemptOutcome.ABORTED, reason=limit)
        if self._given_up is not None:
            self.job.abort()

    @property
    def given_up(self) -> GivenUp | None:
        """Why this agent has aborted, if it has."""
        return self._given_up

    def _close(self, end: JobEnd) -> None:
        if end.moved:
            self._status.see(VMState.ABSENT, None)
            self._status.end(end, AttemptOutcome.COMPLETED, None)
            return
        self._status.see(VMState.RUNNING, "Booted")
        if self._given_up is not None:
            self._status.end(end, self._given_up.outcome, self._given_up.reason)
        else:
            self._status.end(end, AttemptOutcome.FAILED, end.error)

    def _report(self, sample: Sample, desired: Desired, *, now: float) -> None:
        in_post_copy = self.job.in_post_copy
        if in_post_copy:
            self._status.see(VMState.PAUSED, "PostCopy")
            message = "memory follows"
            self._status.set(ConditionType.POST_COPY_INTERRUPTED, Status.FALSE, "PostCopy", message, now=now)
        self._status.set(ConditionType.RUNNING, Status.TRUE, "Migrating", "the VM is leaving", now=now)
        self._report_stalling(desired, now=now)
        figures = progress(
            sample,
            elapsed=timedelta(seconds=now - self._began),
            max_downtime=self._granted,
            before=self._status.part.progress,
            in_post_copy=in_post_copy,
        )
        self._status.advance(figures)

    def _report_stalling(self, desired: Desired, *, now: float) -> None:
        convergence = self._convergence
        limit = desired.stalling_limit
        if self.job.in_post_copy or not convergence.stalling(limit, now=now):
            self._status.set(ConditionType.MIGRATION_STALLING, Status.FALSE, "Converging", "", now=now)
            return
        best = format_duration(convergence.best or timedelta(0))
        message = f"the needed downtime has not fallen below {best} for {format_duration(limit)}"
        reason = "NotConverging"
        if convergence.link_is_slow(bandwidth(desired)):
            reason = "LinkSlow"
            carried = format_quantity(rounded(convergence.bandwidth or 0))
            message += f"; the link carries {carried} a second only"
        self._status.set(ConditionType.MIGRATION_STALLING, Status.TRUE, reason, message, now=now)
