"""One attempt, from its start in libvirt, or from finding it there, to its end."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.changes import Change, Parameter, Value, at_start, bandwidth, when_adopted
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.limits import may_be_switching, overrun, steers
from vmferry_agent.decisions.outcome import Ended, GivenUp, ended, restarted, stronger
from vmferry_agent.decisions.ramp import ramp_downtime, reached_after
from vmferry_agent.decisions.resumption import resumed
from vmferry_agent.hypervisor.port import (
    CompletedJob,
    Domain,
    Hypervisor,
    HypervisorError,
    HypervisorUnreachable,
    MigrationAborted,
    MigrationRunsAlready,
    Sample,
    StartRequest,
)
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.parameters import ParametersInForce
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.migrations.traces import Trace
from vmferry_api.migrations import AttemptOutcome, Desired, MigrationTechnique, Progress, VMState
from vmferry_kube.backoff import Backoff

_logger = logging.getLogger(__name__)

SAMPLING = timedelta(seconds=0.25)
QUEUED = timedelta(seconds=10)
"""So long after its start an attempt whose agent has died may yet begin: libvirt takes the call before the job."""

_LEFT_SUSPENDED = (
    "it was suspended for this migration and is left so, since the target may run it: look there before "
    "`virsh resume`"
)

Order = Callable[[], Desired | GivenUp]
"""What is wanted now: the desired parameters, or the end, and why."""


class Attempt:
    """Sees one attempt through: applies what is desired, watches, gives up where it must, reports.

    Args:
        number: Its own; a desired attempt above it means that this one is to be given up.
        domain: The VM.
        hypervisor: This host.
        status: Where to report.
        order: What is wanted; asked anew each time.
        changed: Set when what is wanted may have changed.
        clock: The time.
        trace: Where it is recorded.
        sampling: The time between two looks.
    """

    def __init__(
        self,
        number: int,
        domain: Domain,
        *,
        hypervisor: Hypervisor,
        status: SourceStatus,
        order: Order,
        changed: asyncio.Event,
        clock: Clock,
        trace: Trace,
        sampling: timedelta = SAMPLING,
    ) -> None:
        self._number = number
        self._domain = domain
        self._hypervisor = hypervisor
        self._status = status
        self._reports = AttemptReports(domain.name, status)
        self._order = order
        self._changed = changed
        self._clock = clock
        self._trace = trace
        self._sampling = sampling
        self._call: asyncio.Task[None] | None = None
        self._call_error: str | None = None
        self._call_failed = False
        self._stayed_for_certain = False
        self._call_succeeded = False
        self._refusal: str | None = None
        self._may_be_queued = False
        self._parameters = self._in_force({})
        self._desired: Desired | None = None
        self._applied_revision = 0
        self._given_up: GivenUp | None = None
        self._granted: timedelta | None = None
        self._first_pass_ended_at: float | None = None
        self._began_at = clock.monotonic()
        self._steered_at = self._began_at
        self._convergence = Convergence(progress_at=self._began_at)
        self.figures: CompletedJob | None = None
        """Libvirt's, once it has completed."""

    @property
    def elapsed(self) -> timedelta:
        """Since it began."""
        return self._since(self._began_at)

    async def start(self, request: StartRequest, desired: Desired) -> Ended:
        """Start it and see it through."""
        await self._set_first_downtime(desired)
        self._parameters = self._in_force(at_start(desired))
        self._call = asyncio.create_task(self._migrate(request), name=f"migrate {self._domain.name}")
        return await self._see_through()

    async def adopt(self, since: timedelta, desired: Desired | None) -> Ended:
        """See one through that an earlier process has started so long ago, or find how it ended.

        Args:
            since: Its age.
            desired: What the operator wants, whether or not the user has put an end to it.
        """
        self._began_at -= since.total_seconds()
        self._may_be_queued = True
        self._call_error = "the agent was restarted, and no migration runs any more"
        self._parameters = self._in_force(when_adopted(self._domain, None, ()))
        if desired is not None:
            self._take_over(desired)
        return await self._see_through()

    def _take_over(self, desired: Desired) -> None:
        """Go on from what the earlier process has reported."""
        applied, progress, now = self._status.applied, self._status.progress, self._clock.monotonic()
        if applied is not None and applied.revision == desired.revision:
            refused = {each.parameter for each in applied.errors}
            self._parameters = self._in_force(when_adopted(self._domain, desired, refused))
            self._desired = desired
            self._applied_revision = desired.revision
            self._steered_at = self._at(applied.time)
        if desired.technique == MigrationTechnique.POST_COPY:
            self._parameters.switch_ordered_at = now  # the last thing that it did, perhaps
        if self._status.limit_run_into is not None:
            self._given_up = self._give_up(self._status.limit_run_into)
        if progress is not None:
            self._granted = progress.max_downtime
            self._first_pass_ended_at = self._ramp_began_at(desired, progress)
        stalling_since = self._status.stalling_since
        self._convergence = resumed(
            progress,
            began_at=self._began_at,
            now=now,
            stalling_since=None if stalling_since is None else self._at(stalling_since),
            limit=desired.stalling_limit,
        )

    def _ramp_began_at(self, desired: Desired, progress: Progress) -> float | None:
        """When the first pass must have ended for the ramp to grant what it did: that is never taken back."""
        ramp = desired.agent_downtime_ramp
        if ramp is None or progress.max_downtime is None or progress.memory_pass <= 1:
            return None
        since = reached_after(ramp, self._domain.memory, progress.max_downtime)
        return self._clock.monotonic() - since.total_seconds()

    def _at(self, moment: datetime) -> float:
        """A time of day by the clock that never jumps."""
        return self._clock.monotonic() - (self._clock.now() - moment).total_seconds()

    def _in_force(self, known: dict[Parameter, Value]) -> ParametersInForce:
        return ParametersInForce(
            self._domain,
            hypervisor=self._hypervisor,
            clock=self._clock,
            known=known,
            was_set=self._note_change,
        )

    async def _migrate(self, request: StartRequest) -> None:
        try:
            await self._hypervisor.migrate(self._domain.uuid, request)
        except MigrationRunsAlready as error:
            self._refusal = str(error)
        except HypervisorError as error:
            self._call_error = str(error)
            self._stayed_for_certain = not isinstance(error, HypervisorUnreachable)
            self._call_failed = not isinstance(error, MigrationAborted | HypervisorUnreachable)
            _logger.info("%s: the migration's call ended: %s", self._domain.name, error)
        else:
            self._call_succeeded = True
        finally:
            self._changed.set()

    async def _see_through(self) -> Ended:
        lost = iter(Backoff())
        while True:
            delay = self._sampling.total_seconds()
            try:
                end = await self._look()
                lost = iter(Backoff())
            except HypervisorError as error:
                end, delay = None, next(lost)
                _logger.warning("%s: %s; again in %.1f s", self._domain.name, error, delay)
            if end is not None:
                return await self._leave_running(end)
            await self._wait(delay)

    async def _wait(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _look(self) -> Ended | None:
        """One look at the host, and what follows from it."""
        if self._refusal is not None:  # what runs is another's
            return Ended(outcome=AttemptOutcome.FAILED, error=self._refusal)
        calling = self._call is not None and not self._call.done()
        asked_at = self._clock.monotonic()
        sample = await self._hypervisor.sample(self._domain.uuid)
        took = self._clock.monotonic() - asked_at
        domain = await self._hypervisor.find(self._domain.uuid)
        in_post_copy = domain is not None and domain.in_post_copy
        if sample is not None:
            self._may_be_queued = False
            t = asked_at - self._began_at
            self._trace.sample(t, sample, took=took, in_post_copy=in_post_copy)
            await self._steer(sample, in_post_copy=in_post_copy)
        elif calling:
            await self._give_up_if_due(in_post_copy=in_post_copy)
        elif not await self._hypervisor.busy(self._domain.uuid):
            end = await self._ended(domain)
            if end is not None:
                return end
        self._reports.domain(domain)
        return None

    async def _ended(self, domain: Domain | None) -> Ended | None:
        """How it ended, if it did."""
        if domain is None or domain.moved_away:
            self.figures = await self._hypervisor.completed(self._domain.uuid)
        elif self._may_be_queued and self.elapsed < QUEUED:
            return None
        return ended(
            domain,
            self._end_ordered(),
            self._call_error,
            failed=self._call_failed,
            moved=self._call_succeeded or self.figures is not None,
        )

    async def _steer(self, sample: Sample, *, in_post_copy: bool) -> None:
        now = self._clock.monotonic()
        self._convergence = self._convergence.after(sample, now=now, in_post_copy=in_post_copy)
        if sample.memory_pass > 1 and self._first_pass_ended_at is None:
            self._first_pass_ended_at = now
        order = self._order()
        if isinstance(order, Desired):
            if steers(self._desired, order):
                self._steered_at = now
            self._desired = order
            if sample.memory_pass > 0 and (in_post_copy or order.attempt <= self._number):
                await self._apply(order, in_post_copy=in_post_copy)
            self._reports.stalling(
                self._convergence,
                order.stalling_limit,
                now=self._clock.monotonic(),
                cap=bandwidth(order),
                in_post_copy=in_post_copy,
            )
        self._reports.progress(
            sample, elapsed=self.elapsed, max_downtime=self._granted, in_post_copy=in_post_copy
        )
        await self._give_up_if_due(in_post_copy=in_post_copy)

    async def _apply(self, desired: Desired, *, in_post_copy: bool) -> None:
        """Set what differs; a revision counts as applied when each of its parameters is set or refused."""
        self._granted = self._max_downtime(desired)
        errors = await self._parameters.apply(desired, max_downtime=self._granted, in_post_copy=in_post_copy)
        if desired.revision != self._applied_revision:
            self._applied_revision = desired.revision
            self._status.apply(desired, errors, attempt=self._number)

    def _note_change(self, change: Change, before: Value) -> None:
        """Record it, and look anew at what it makes different."""
        self._trace.set(self.elapsed.total_seconds(), change.parameter, change.value)
        match change.parameter, before, change.value:
            case Parameter.BANDWIDTH, int() | None as old, int() | None as new:
                self._convergence = self._convergence.with_bandwidth(old, new)
            case Parameter.MAX_DOWNTIME, timedelta() as low, timedelta() as high if high > low:
                self._steered_at = self._clock.monotonic()  # a rung of the ramp comes without a revision

    def _max_downtime(self, desired: Desired) -> timedelta | None:
        if desired.agent_downtime_ramp is None:
            return desired.max_downtime
        ended_at = self._first_pass_ended_at
        since = None if ended_at is None else self._since(ended_at)
        return ramp_downtime(desired.agent_downtime_ramp, self._domain.memory, since)

    async def _set_first_downtime(self, desired: Desired) -> None:
        """Set it before the start too, for a guest so idle that it is gone before the first look."""
        self._granted = self._max_downtime(desired)
        if self._granted is None:
            return
        try:
            await self._hypervisor.set_max_downtime(self._domain.uuid, self._granted)
        except HypervisorError as error:
            _logger.info("%s: maxDowntime is set once the job runs: %s", self._domain.name, error)

    async def _give_up_if_due(self, *, in_post_copy: bool) -> None:
        """Abort where it is wanted or a limit is run into; nothing aborts post-copy."""
        if in_post_copy or self._may_be_switching:
            return
        self._given_up = self._end_ordered() or self._overrun()
        if self._given_up is None:
            return
        try:
            await self._hypervisor.abort(self._domain.uuid)
        except HypervisorError as error:
            _logger.info("%s: can't abort yet: %s", self._domain.name, error)

    @property
    def _may_be_switching(self) -> bool:
        ordered_at = self._parameters.switch_ordered_at
        return ordered_at is not None and may_be_switching(self._since(ordered_at))

    def _end_ordered(self) -> GivenUp | None:
        """Why it is to end, or was given up already."""
        order = self._order()
        if isinstance(order, GivenUp):
            return stronger(self._given_up, order)
        if self._given_up is None and order.attempt > self._number:
            return restarted(order)
        return self._given_up

    def _overrun(self) -> GivenUp | None:
        """The limit that it has run into."""
        order = self._order()
        if isinstance(order, GivenUp):
            return None
        limit = overrun(
            order,
            without_progress=self._since(max(self._convergence.progress_at, self._steered_at)),
            elapsed=self.elapsed,
        )
        return None if limit is None else self._give_up(limit)

    def _give_up(self, limit: str) -> GivenUp:
        self._reports.giving_up(limit)
        return GivenUp(outcome=AttemptOutcome.ABORTED, reason=limit)

    async def _leave_running(self, end: Ended) -> Ended:
        """Let the guest run again that was suspended for this migration and stayed.

        Where the migration's answer was lost, it may have been switched over by then: the target may run it.
        """
        if not self._parameters.suspended or end.outcome == AttemptOutcome.COMPLETED:
            return end
        if not self._stayed_for_certain:
            return replace(end, error=f"{end.error}; {_LEFT_SUSPENDED}")
        for delay in Backoff():
            try:
                domain = await self._hypervisor.find(self._domain.uuid)
                if domain is not None and (domain.state, domain.reason) == (VMState.PAUSED, "User"):
                    await self._hypervisor.resume(domain.uuid)
                    _logger.info("%s: runs again on its source", domain.name)
            except HypervisorError as error:
                _logger.warning("%s: can't resume it yet: %s", self._domain.name, error)
                await asyncio.sleep(delay)
            else:
                break
        return end

    def _since(self, moment: float) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - moment)
