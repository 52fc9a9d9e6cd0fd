"""One attempt as the source's agent sees it through.

The decisions and the reports are the agent's own; what is done again here, without asyncio and libvirt, is the
order in which vmferry_agent.migrations.attempt asks for them. tests/unit/cli drives both over the same recordings.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from kubectl_vmferry.simulation.jobs import Job, JobEnd
from vmferry_agent.decisions.changes import (
    Change,
    Parameter,
    Value,
    at_start,
    bandwidth,
    changes,
    held_back,
)
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.limits import may_be_switching, overrun, steers
from vmferry_agent.decisions.outcome import GivenUp, ended, restarted, stronger
from vmferry_agent.decisions.ramp import ramp_downtime
from vmferry_agent.decisions.recovery import Flow
from vmferry_agent.hypervisor.port import CompletedJob, Domain, Sample
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_api.durations import whole_milliseconds
from vmferry_api.migrations import AttemptOutcome, Desired, DesiredState, VMState


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a job is started with."""

    desired: Desired
    max_downtime: timedelta | None
    now: float


StartJob = Callable[[Start], Job]


class RunningAttempt:
    """Applies what is desired, watches, gives up where it must, reports.

    Args:
        desired: What is wanted at the start.
        vm: The VM before it starts.
        status: Where to report.
        start_job: Starts a migration.
        now: The time in seconds.
    """

    def __init__(
        self, desired: Desired, *, vm: Domain, status: SourceStatus, start_job: StartJob, now: float
    ) -> None:
        self._vm = vm
        self._status = status
        self._reports = AttemptReports(vm.name, status)
        self._number = desired.attempt
        self._began = self._steered_at = now
        self._desired: Desired | None = None
        self._applied_revision = 0
        self._first_pass_ended_at: float | None = None
        self._switched_at: float | None = None
        self._convergence = Convergence(progress_at=now)
        self.given_up: GivenUp | None = None
        """Why this agent has aborted, if it has."""
        self._granted = self._max_downtime(desired, now=now)
        self._in_force: dict[Parameter, Value] = at_start(desired)
        self.job = start_job(Start(desired=desired, max_downtime=self._granted, now=now))

    def look(self, desired: Desired, *, now: float) -> bool:
        """One look at the host, and what follows from it; returns whether the attempt is over."""
        self.job.run_until(now)
        order = self._order(desired)
        if self.job.end is not None and self.job.end.time <= now:
            self._close(self.job.end, order)
            return True
        seen = self._domain
        self._steer(self.job.sample(), order, now=now)
        if seen.in_post_copy:
            self._reports.post_copy(Flow.FLOWS)
        self._reports.domain(seen)
        return False

    def _order(self, desired: Desired) -> Desired | GivenUp:
        if desired.state == DesiredState.ABORT:
            return GivenUp(outcome=AttemptOutcome.ABORTED, reason=f"aborted: {desired.reason}")
        return desired

    def _steer(self, sample: Sample, order: Desired | GivenUp, *, now: float) -> None:
        in_post_copy = self.job.in_post_copy
        self._convergence = self._convergence.after(sample, now=now, in_post_copy=in_post_copy)
        if sample.memory_pass > 1 and self._first_pass_ended_at is None:
            self._first_pass_ended_at = now
        if isinstance(order, Desired):
            if steers(self._desired, order):
                self._steered_at = now
            self._desired = order
            if sample.memory_pass > 0 and (in_post_copy or order.attempt <= self._number):
                self._apply(order, now=now)
            self._reports.stalling(
                self._convergence,
                order.stalling_limit,
                now=now,
                cap=bandwidth(order),
                in_post_copy=in_post_copy,
            )
        self._reports.progress(
            sample,
            elapsed=timedelta(seconds=now - self._began),
            max_downtime=self._granted,
            in_post_copy=in_post_copy,
        )
        self._give_up_if_due(order, now=now)

    def _apply(self, desired: Desired, *, now: float) -> None:
        granted = self._max_downtime(desired, now=now)
        wanted = changes(desired, self._in_force, max_downtime=granted, in_post_copy=self.job.in_post_copy)
        held = held_back(self._convergence.silent_for(now))
        for change in wanted:
            if change.parameter not in held:
                self._set(change, now=now)
        complete = all(change.parameter not in held for change in wanted)
        if complete and desired.revision != self._applied_revision:
            self._applied_revision = desired.revision
            self._status.apply(desired, [], attempt=self._number)

    def _set(self, change: Change, *, now: float) -> None:
        self.job.set(change)
        match change.parameter, self._in_force.get(change.parameter), change.value:
            case Parameter.BANDWIDTH, int() | None as old, int() | None as new:
                self._convergence = self._convergence.with_bandwidth(old, new)
            case Parameter.MAX_DOWNTIME, before, timedelta() as granted:
                self._granted = granted
                if isinstance(before, timedelta) and granted > before:
                    self._steered_at = now
            case Parameter.TECHNIQUE, _, _:
                self._switched_at = now
            case Parameter.SUSPEND, _, _:
                self._status.suspending()
        self._in_force[change.parameter] = change.value

    def _max_downtime(self, desired: Desired, *, now: float) -> timedelta | None:
        ramp = desired.agent_downtime_ramp
        if ramp is None:
            return desired.max_downtime
        ended_at = self._first_pass_ended_at
        since = None if ended_at is None else timedelta(seconds=now - ended_at)
        return ramp_downtime(ramp, self._vm.memory, since)

    def _give_up_if_due(self, order: Desired | GivenUp, *, now: float) -> None:
        switched_at = self._switched_at
        if switched_at is not None and may_be_switching(timedelta(seconds=now - switched_at)):
            return
        if self.job.in_post_copy:
            return
        self.given_up = self._end_ordered(order) or self._overrun(order, now=now)
        if self.given_up is not None:
            self.job.abort()

    def _end_ordered(self, order: Desired | GivenUp) -> GivenUp | None:
        if isinstance(order, GivenUp):
            return stronger(self.given_up, order)
        if self.given_up is None and order.attempt > self._number:
            return restarted(order)
        return self.given_up

    def _overrun(self, order: Desired | GivenUp, *, now: float) -> GivenUp | None:
        if isinstance(order, GivenUp):
            return None
        limit = overrun(
            order,
            without_progress=timedelta(seconds=now - max(self._convergence.progress_at, self._steered_at)),
            elapsed=timedelta(seconds=now - self._began),
        )
        if limit is None:
            return None
        self._reports.giving_up(limit)
        return GivenUp(outcome=AttemptOutcome.ABORTED, reason=limit)

    @property
    def _domain(self) -> Domain:
        """The VM as it is on the source while the job runs."""
        if self.job.in_post_copy:
            return replace(self._vm, state=VMState.PAUSED, reason="PostCopy")
        if self._in_force.get(Parameter.SUSPEND) is True:
            return replace(self._vm, state=VMState.PAUSED, reason="User")
        return self._vm

    def _close(self, end: JobEnd, order: Desired | GivenUp) -> None:
        domain = None if end.moved else self._vm
        self._status.see(domain)
        told = ended(domain, self._end_ordered(order), end.error)
        if told is not None:
            downtime = None if end.downtime is None else whole_milliseconds(timedelta(seconds=end.downtime))
            job = CompletedJob(downtime=downtime, transferred=self.job.sample().transferred)
            self._status.end(told, job if end.moved else None)
