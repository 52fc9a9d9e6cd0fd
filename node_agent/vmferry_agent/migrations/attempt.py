"""One attempt, from its start in libvirt, or from finding it there, to its end."""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.outcome import Ended, ended
from vmferry_agent.hypervisor.port import (
    CompletedJob,
    Domain,
    Hypervisor,
    HypervisorError,
    Sample,
    StartRequest,
)
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.call import MigrationCall
from vmferry_agent.migrations.interruption import Interruption
from vmferry_agent.migrations.looks import Looks
from vmferry_agent.migrations.orders import Orders
from vmferry_agent.migrations.slow_answers import SLOW, told_if_slow
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.migrations.steering import Steering
from vmferry_agent.migrations.traces import Trace
from vmferry_agent.reach import Reach
from vmferry_api.migrations import AttemptOutcome, Desired, VMState
from vmferry_kube.backoff import Backoff

_logger = logging.getLogger(__name__)

QUEUED = timedelta(seconds=40)
"""So long after its start an attempt whose agent has died may yet begin: libvirt takes the call before the job,
and waits for the domain's lock for 30 s."""

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
        reach: Whether the target's daemon answers.
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
        reach: Reach,
        clock: Clock,
        trace: Trace,
        every: float | None = None,
    ) -> None:
        self._domain = domain
        self._hypervisor = hypervisor
        self._status = status
        self._changed = changed
        self._clock = clock
        self._trace = trace
        self._call: MigrationCall | None = None
        self._may_be_queued = False
        self._away_since: float | None = None
        self._in_post_copy = domain.in_post_copy
        self._reports = AttemptReports(domain.name, status)
        self._looks = Looks(changed, clock=clock, every=every)
        self._steering = Steering(
            number,
            domain,
            hypervisor=hypervisor,
            status=status,
            reports=self._reports,
            orders=orders,
            clock=clock,
            trace=trace,
        )
        self._interruption = Interruption(
            domain,
            hypervisor=hypervisor,
            status=status,
            reports=self._reports,
            orders=orders,
            reach=reach,
            clock=clock,
            calling=self._calling,
        )
        self.figures: CompletedJob | None = None
        """Libvirt's, once it has completed."""

    @property
    def elapsed(self) -> timedelta:
        """Since it began."""
        return self._steering.elapsed

    async def start(self, request: StartRequest, desired: Desired) -> Ended:
        """Start it and see it through."""
        await self._steering.begin(desired)
        self._call = self._calling(self._hypervisor.migrate(self._domain.uuid, request))
        return await self._see_through()

    async def adopt(self, since: timedelta) -> Ended:
        """See one through that an earlier process has started so long ago, or find how it ended."""
        self._may_be_queued = True
        self._steering.adopt(since)
        return await self._see_through()

    def _calling(self, call: Coroutine[None, None, None]) -> MigrationCall:
        return MigrationCall(call, vm=self._domain.name, ended=self._changed.set)

    async def _see_through(self) -> Ended:
        lost = iter(Backoff())
        with self._hypervisor.listen(self._domain.uuid, self._looks.hear):
            while True:
                delay = None
                try:
                    end = await self._look()
                    lost = iter(Backoff())
                except HypervisorError as error:
                    end, delay = None, next(lost)
                    _logger.warning("%s: %s; again in %.1f s", self._domain.name, error, delay)
                    self._tell_if_away(error)
                    await self._steering.give_up_if_due(in_post_copy=self._in_post_copy)
                if end is not None:
                    return await self._leave_running(end)
                await self._looks.next(delay)

    async def _look(self) -> Ended | None:
        """One look at the host, and what follows from it."""
        if self._call is not None and self._call.refused:
            return Ended(outcome=AttemptOutcome.FAILED, error=str(self._call.error))
        calling = self._call is not None and self._call.runs
        asked_at = self._clock.monotonic()
        self._looks.looked(asked_at)
        with told_if_slow(self._status.unreachable):
            look = await self._hypervisor.look(self._domain)
        self._away_since = None
        in_post_copy = self._in_post_copy = look.domain is not None and look.domain.in_post_copy
        if look.sample is not None:
            self._record(look.sample, asked_at, in_post_copy=in_post_copy)
            await self._steering.steer(
                look.sample, in_post_copy=in_post_copy, report=not self._looks.again_soon
            )
        elif calling:
            await self._steering.give_up_if_due(in_post_copy=in_post_copy)
        elif not look.busy and (end := await self._ended(look.domain)) is not None:
            self._reports.domain(look.domain)
            return end
        if look.domain is not None and in_post_copy:
            end = await self._interruption.see_through(
                look.domain, self._steering.convergence, calling=calling
            )
            if end is not None:
                return end
        self._reports.domain(look.domain)
        return None

    def _tell_if_away(self, error: HypervisorError) -> None:
        """Say that libvirt can't be asked; not at once, since a connection is lost and made anew in a moment."""
        now = self._clock.monotonic()
        if self._away_since is None:
            self._away_since = now
        elif now - self._away_since >= SLOW.total_seconds():
            self._status.unreachable(str(error))

    def _record(self, sample: Sample, asked_at: float, *, in_post_copy: bool) -> None:
        self._may_be_queued = False
        took = self._clock.monotonic() - asked_at
        began_at = self._steering.began_at
        self._trace.sample(asked_at - began_at, sample, took=took, in_post_copy=in_post_copy)

    async def _ended(self, domain: Domain | None) -> Ended | None:
        """How it ended, if it did."""
        if domain is None or domain.moved_away:
            self.figures = await self._hypervisor.completed(self._domain.uuid)
        elif self._may_be_queued and self.elapsed < QUEUED:
            return None
        call = self._call
        told_by_call = call is not None and call.succeeded
        error = _RESTARTED if call is None else _said(call)
        return ended(
            domain,
            self._steering.end_ordered(),
            error,
            failed=call is not None and call.failed_by_itself,
            moved=self.figures is not None or told_by_call or self._interruption.overcome,
        )

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
        try:
            domain = await self._hypervisor.find(self._domain.uuid)
            if domain is not None and (domain.state, domain.reason) == (VMState.PAUSED, "User"):
                await self._hypervisor.resume(domain.uuid)
                self._status.let_run_again()
                _logger.info("%s: runs again on its source", domain.name)
        except HypervisorError as error:
            _logger.warning("%s: can't resume it yet: %s", self._domain.name, error)
            return replace(end, error=f"{end.error}; {_LEFT_SUSPENDED}")
        return end


def _said(call: MigrationCall) -> str | None:
    return None if call.error is None else str(call.error)
