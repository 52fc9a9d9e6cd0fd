"""One attempt, from its start in libvirt, or from finding it there, to its end."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.cadence import Cadence
from vmferry_agent.decisions.changes import (
    Change,
    Parameter,
    Value,
    at_start,
    bandwidth,
    held_back,
    when_adopted,
)
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.limits import may_be_switching, overrun, steers
from vmferry_agent.decisions.outcome import Ended, GivenUp, ended, restarted, stronger
from vmferry_agent.decisions.ramp import ramp_downtime, reached_after
from vmferry_agent.decisions.recovery import Step
from vmferry_agent.decisions.resumption import resumed
from vmferry_agent.hypervisor.port import (
    CompletedJob,
    Domain,
    Hypervisor,
    HypervisorError,
    Look,
    News,
    Sample,
    StartRequest,
    TargetHalfLost,
)
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.call import MigrationCall
from vmferry_agent.migrations.interruption import Interruption
from vmferry_agent.migrations.orders import Orders
from vmferry_agent.migrations.parameters import ParametersInForce
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.migrations.traces import Trace
from vmferry_api.migrations import AttemptOutcome, Desired, MigrationTechnique, Progress, VMState
from vmferry_api.policies import PostCopyRecovery
from vmferry_kube.backoff import Backoff

_logger = logging.getLogger(__name__)

QUEUED = timedelta(seconds=10)
"""So long after its start an attempt whose agent has died may yet begin: libvirt takes the call before the job."""

_LEFT_SUSPENDED = (
    "it was suspended for this migration and is left so until the target is seen not to run it; if that can't be "
    "seen, look there before `virsh resume`"
)
_RESTARTED = "the agent was restarted, and no migration runs any more"


class Attempt:
    """Sees one attempt through: applies what is desired, watches, gives up where it must, reports.

    Args:
        number: Its own; a desired attempt above it means that this one is to be given up.
        domain: The VM.
        hypervisor: This host.
        status: Where to report.
        orders: What is wanted; asked anew each time.
        changed: Set when what is wanted may have changed.
        clock: The time.
        trace: Where it is recorded.
        every: The seconds between two looks; None: as `Cadence` says.
    """

    def __init__(
        self,
        number: int,
        domain: Domain,
        *,
        hypervisor: Hypervisor,
        status: SourceStatus,
        orders: Orders,
        changed: asyncio.Event,
        clock: Clock,
        trace: Trace,
        every: float | None = None,
    ) -> None:
        self._number = number
        self._domain = domain
        self._hypervisor = hypervisor
        self._status = status
        self._reports = AttemptReports(domain.name, status)
        self._orders = orders
        self._changed = changed
        self._clock = clock
        self._trace = trace
        self._every = every
        self._call: MigrationCall | None = None
        self._resumption: MigrationCall | None = None
        self._may_be_queued = False
        self._parameters = self._in_force({})
        self._desired: Desired | None = None
        self._applied_revision = 0
        self._given_up: GivenUp | None = None
        self._granted: timedelta | None = None
        self._first_pass_ended_at: float | None = None
        self._began_at = clock.monotonic()
        self._steered_at = self._began_at
        self._only_pass = False
        self._cadence = Cadence(looked_at=self._began_at)
        self._convergence = Convergence(progress_at=self._began_at)
        seed = orders.migration.metadata.uid
        self._interruption = Interruption(status, self._reports, clock=clock, seed=seed)
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
        self._call = self._calling(self._hypervisor.migrate(self._domain.uuid, request))
        return await self._see_through()

    async def adopt(self, since: timedelta) -> Ended:
        """See one through that an earlier process has started so long ago, or find how it ended."""
        self._began_at -= since.total_seconds()
        self._may_be_queued = True
        self._parameters = self._in_force(when_adopted(self._domain, None, ()))
        if self._orders.desired is not None:
            self._take_over(self._orders.desired)
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
            suspending=self._status.suspending,
        )

    def _calling(self, call: Coroutine[None, None, None]) -> MigrationCall:
        return MigrationCall(call, vm=self._domain.name, ended=self._changed.set)

    async def _see_through(self) -> Ended:
        lost = iter(Backoff())
        with self._hypervisor.listen(self._domain.uuid, self._hear):
            while True:
                delay = None
                try:
                    end = await self._look()
                    lost = iter(Backoff())
                except HypervisorError as error:
                    end, delay = None, next(lost)
                    _logger.warning("%s: %s; again in %.1f s", self._domain.name, error, delay)
                if end is not None:
                    return await self._leave_running(end)
                await self._wait(delay)

    def _hear(self, news: News) -> None:
        if news is News.PASS:
            self._cadence = self._cadence.heard_pass(self._clock.monotonic())
            self._only_pass = True
        self._changed.set()

    async def _wait(self, delay: float | None) -> None:
        """Until the next look is due; what is wanted and what has ended is news at once, a pass a little later."""
        given_up_at = None if delay is None else self._clock.monotonic() + delay
        while True:
            due = self._due if given_up_at is None else given_up_at
            left = due - self._clock.monotonic()
            if left <= 0:
                await asyncio.sleep(0)  # others get their turn
                return
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return
            self._changed.clear()
            if not self._only_pass:
                return
            self._only_pass = False

    @property
    def _due(self) -> float:
        return self._cadence.due if self._every is None else self._cadence.looked_at + self._every

    async def _look(self) -> Ended | None:
        """One look at the host, and what follows from it."""
        if self._call is not None and self._call.refused:
            return Ended(outcome=AttemptOutcome.FAILED, error=str(self._call.error))
        calling = self._call is not None and self._call.runs
        asked_at = self._clock.monotonic()
        self._cadence = self._cadence.looked(asked_at)
        look = await self._hypervisor.look(self._domain)
        in_post_copy = look.domain is not None and look.domain.in_post_copy
        if look.sample is not None:
            self._record(look.sample, asked_at, in_post_copy=in_post_copy)
            await self._steer(look.sample, in_post_copy=in_post_copy)
        elif calling:
            await self._give_up_if_due(in_post_copy=in_post_copy)
        elif not look.busy and (end := await self._ended(look.domain)) is not None:
            return end
        if in_post_copy and (end := await self._see_post_copy_through(look)) is not None:
            return end
        self._reports.domain(look.domain)
        return None

    def _record(self, sample: Sample, asked_at: float, *, in_post_copy: bool) -> None:
        self._may_be_queued = False
        took = self._clock.monotonic() - asked_at
        self._trace.sample(asked_at - self._began_at, sample, took=took, in_post_copy=in_post_copy)

    async def _ended(self, domain: Domain | None) -> Ended | None:
        """How it ended, if it did."""
        if domain is None or domain.moved_away:
            self.figures = await self._hypervisor.completed(self._domain.uuid)
        elif self._may_be_queued and self.elapsed < QUEUED:
            return None
        calls = [call for call in (self._call, self._resumption) if call is not None]
        return ended(
            domain,
            self._end_ordered(),
            _RESTARTED if self._call is None else _said(self._call),
            failed=self._call is not None and self._call.failed_by_itself,
            moved=self.figures is not None or any(call.succeeded for call in calls),
        )

    async def _see_post_copy_through(self, look: Look) -> Ended | None:
        """Have it taken up again where it is interrupted; an end only where the target's half is lost."""
        if look.domain is None:
            return None
        if self._resumption is not None and self._resumption.error is not None:
            error, self._resumption = self._resumption.error, None
            if isinstance(error, TargetHalfLost):
                return Ended(outcome=AttemptOutcome.FAILED, error=_half_lost(look.domain, error))
            self._interruption.answered(error)
        step = self._interruption.next_step(
            look.domain,
            self._convergence,
            self._recovery_wanted,
            on_target=self._orders.vm_on_target,
            calling=any(call is not None and call.runs for call in (self._call, self._resumption)),
        )
        match step:
            case Step.BREAK:
                await self._hypervisor.break_post_copy(self._domain.uuid)
            case Step.RESUME:
                self._resume_post_copy()
        return None

    @property
    def _recovery_wanted(self) -> PostCopyRecovery:
        wanted = self._orders.desired or self._desired
        return (wanted.post_copy_recovery if wanted else None) or PostCopyRecovery()

    def _resume_post_copy(self) -> None:
        desired = self._orders.desired or self._desired
        request = self._orders.request(self._domain, desired) if desired is not None else None
        if request is None:  # the operator has withdrawn what it started by, which it never does
            return
        _logger.info("%s: post-copy is taken up again", self._domain.name)
        self._interruption.trying()
        self._resumption = self._calling(self._hypervisor.resume_post_copy(self._domain.uuid, request))

    async def _steer(self, sample: Sample, *, in_post_copy: bool) -> None:
        now = self._clock.monotonic()
        self._convergence = self._convergence.after(sample, now=now, in_post_copy=in_post_copy)
        if sample.memory_pass > 1 and self._first_pass_ended_at is None:
            self._first_pass_ended_at = now
        order = self._orders.now()
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
        answer = await self._parameters.apply(
            desired,
            max_downtime=self._granted,
            in_post_copy=in_post_copy,
            held=held_back(self._convergence.silent_for(self._clock.monotonic())),
        )
        if answer.complete and desired.revision != self._applied_revision:
            self._applied_revision = desired.revision
            self._status.apply(desired, answer.errors, attempt=self._number)

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
        order = self._orders.now()
        if isinstance(order, GivenUp):
            return stronger(self._given_up, order)
        if self._given_up is None and order.attempt > self._number:
            return restarted(order)
        return self._given_up

    def _overrun(self) -> GivenUp | None:
        """The limit that it has run into."""
        order = self._orders.now()
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

        Where the migration's answer was lost, it may have been switched over by then: the target may run it, and
        that is left to who has the target's word (decisions/aftermath.py).
        """
        attempt = self._status.open_attempt
        if attempt is None or not attempt.suspended or end.outcome == AttemptOutcome.COMPLETED:
            return end
        if self._call is None or not self._call.answered:
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
                self._status.let_run_again()
                break
        return end

    def _since(self, moment: float) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - moment)


def _said(call: MigrationCall) -> str | None:
    return None if call.error is None else str(call.error)


def _half_lost(domain: Domain, error: HypervisorError) -> str:
    return (
        f"{domain.name} is lost: its half on the target is gone, and what is left here stands still for ever. "
        f"Destroy it here before it is started anywhere ({error})"
    )
