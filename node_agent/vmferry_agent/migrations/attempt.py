"""One attempt, from its start in libvirt, or from finding it there, to its end."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.changes import Change, Parameter, Value, at_start, changes, when_adopted
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.figures import progress
from vmferry_agent.decisions.limits import overrun
from vmferry_agent.decisions.outcome import Ended, GivenUp, ended
from vmferry_agent.decisions.ramp import ramp_downtime
from vmferry_agent.hypervisor.port import (
    Domain,
    Hypervisor,
    HypervisorError,
    HypervisorUnreachable,
    Sample,
    StartRequest,
)
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_api.conditions import ConditionType, Status
from vmferry_api.durations import format_duration
from vmferry_api.migrations import ApplyError, AttemptOutcome, Desired, VMState
from vmferry_api.quantities import format_quantity, rounded
from vmferry_kube.backoff import Backoff

_logger = logging.getLogger(__name__)

SAMPLING = timedelta(seconds=0.5)

Order = Callable[[], Desired | GivenUp]
"""What is wanted now: the desired parameters, or the end, and why."""


class Attempt:
    """Sees one attempt through: applies what is desired, watches, gives up where it must, reports.

    Args:
        domain: The VM.
        hypervisor: This host.
        status: Where to report.
        order: What is wanted; asked anew each time.
        changed: Set when what is wanted may have changed.
        clock: The time.
        sampling: The time between two looks.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        hypervisor: Hypervisor,
        status: SourceStatus,
        order: Order,
        changed: asyncio.Event,
        clock: Clock,
        sampling: timedelta = SAMPLING,
    ) -> None:
        self._domain = domain
        self._hypervisor = hypervisor
        self._status = status
        self._order = order
        self._changed = changed
        self._clock = clock
        self._sampling = sampling
        self._call: asyncio.Task[None] | None = None
        self._call_error: str | None = None
        self._in_force: dict[Parameter, Value] = {}
        self._refused: set[Change] = set()
        self._revision = 0
        self._applied_revision = 0
        self._suspended = False
        self._given_up: GivenUp | None = None
        self._granted: timedelta | None = None
        self._first_pass_ended_at: float | None = None
        self._began_at = clock.monotonic()
        self._revision_at = self._began_at
        self._convergence = Convergence(progress_at=self._began_at)

    async def start(self, request: StartRequest, desired: Desired) -> Ended:
        """Start it and see it through."""
        await self._set_first_downtime(desired)
        self._in_force = at_start(desired)
        self._call = asyncio.create_task(self._migrate(request), name=f"migrate {self._domain.name}")
        return await self._see_through()

    async def adopt(self, since: timedelta) -> Ended:
        """See one through that an earlier process has started so long ago, or find how it ended."""
        self._began_at -= since.total_seconds()
        self._in_force = when_adopted(self._domain)
        self._call_error = "the agent was restarted, and no migration runs any more; the VM stayed"
        return await self._see_through()

    async def _migrate(self, request: StartRequest) -> None:
        try:
            await self._hypervisor.migrate(self._domain.uuid, request)
        except HypervisorError as error:
            self._call_error = str(error)
            _logger.info("%s: the migration's call ended: %s", self._domain.name, error)
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
                await self._leave_running()
                return end
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
        calling = self._call is not None and not self._call.done()
        sample = await self._hypervisor.sample(self._domain.uuid)
        domain = await self._hypervisor.find(self._domain.uuid)
        in_post_copy = domain is not None and domain.in_post_copy
        if sample is not None:
            await self._steer(sample, in_post_copy=in_post_copy)
        elif calling:
            await self._give_up_if_due(in_post_copy=in_post_copy)
        else:
            order = self._order()
            given_up = self._given_up or (order if isinstance(order, GivenUp) else None)
            end = ended(domain, given_up, self._call_error)
            if end is not None:
                return end
        self._report_domain(domain)
        return None

    async def _steer(self, sample: Sample, *, in_post_copy: bool) -> None:
        now = self._clock.monotonic()
        self._convergence = self._convergence.after(sample, now=now, in_post_copy=in_post_copy)
        if sample.memory_pass > 1 and self._first_pass_ended_at is None:
            self._first_pass_ended_at = now
        order = self._order()
        if isinstance(order, Desired):
            if order.revision != self._revision:
                self._revision, self._revision_at = order.revision, now
                self._refused.clear()
            if sample.memory_pass > 0:
                await self._apply(order, in_post_copy=in_post_copy)
            self._report_stalling(order, in_post_copy=in_post_copy)
        self._report_progress(sample, in_post_copy=in_post_copy)
        await self._give_up_if_due(in_post_copy=in_post_copy)

    async def _apply(self, desired: Desired, *, in_post_copy: bool) -> None:
        """Set what differs; a revision counts as applied when each of its parameters is set or refused."""
        errors = []
        self._granted = self._max_downtime(desired)
        for change in changes(desired, self._in_force, max_downtime=self._granted, in_post_copy=in_post_copy):
            if change in self._refused:
                continue
            try:
                await self._set(change)
            except HypervisorUnreachable:
                raise
            except HypervisorError as error:
                self._refused.add(change)
                errors.append(ApplyError(parameter=change.parameter, message=str(error)))
                _logger.warning("%s: %s refused: %s", self._domain.name, change.parameter, error)
            else:
                self._in_force[change.parameter] = change.value
                _logger.info("%s: %s", self._domain.name, change)
        if desired.revision != self._applied_revision:
            self._applied_revision = desired.revision
            self._status.apply(desired, errors)

    async def _set(self, change: Change) -> None:
        uuid = self._domain.uuid
        match change.parameter, change.value:
            case Parameter.MAX_DOWNTIME, timedelta() as downtime:
                await self._hypervisor.set_max_downtime(uuid, downtime)
            case Parameter.BANDWIDTH, int() | None as bandwidth:
                await self._hypervisor.set_bandwidth(uuid, bandwidth)
                self._convergence = self._convergence.anew()
            case Parameter.POST_COPY_BANDWIDTH, int() | None as bandwidth:
                await self._hypervisor.set_post_copy_bandwidth(uuid, bandwidth)
            case Parameter.SUSPEND, True:
                await self._suspend()
            case Parameter.TECHNIQUE, _:
                await self._hypervisor.start_post_copy(uuid)

    async def _suspend(self) -> None:
        """Pause the guest, unless somebody else has: then it is not this migration's to resume."""
        domain = await self._hypervisor.find(self._domain.uuid)
        if domain is not None and domain.state == VMState.RUNNING:
            self._suspended = True
            await self._hypervisor.suspend(domain.uuid)

    def _max_downtime(self, desired: Desired) -> timedelta | None:
        if desired.agent_downtime_ramp is None:
            return desired.max_downtime
        ended_at = self._first_pass_ended_at
        since = None if ended_at is None else timedelta(seconds=self._clock.monotonic() - ended_at)
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
        if in_post_copy:
            return
        order = self._order()
        if isinstance(order, GivenUp):
            self._given_up = self._given_up or order
        elif self._given_up is None:
            limit = overrun(
                order,
                without_progress=self._since(max(self._convergence.progress_at, self._revision_at)),
                elapsed=self._since(self._began_at),
            )
            if limit is not None:
                self._given_up = GivenUp(outcome=AttemptOutcome.ABORTED, reason=limit)
        if self._given_up is None:
            return
        try:
            await self._hypervisor.abort(self._domain.uuid)
        except HypervisorError as error:
            _logger.info("%s: can't abort yet: %s", self._domain.name, error)

    async def _leave_running(self) -> None:
        """Let the guest run again that was suspended for this migration and stayed."""
        if not self._suspended:
            return
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
                return

    def _report_domain(self, domain: Domain | None) -> None:
        """The VM's state here, and whether post-copy is interrupted."""
        self._status.see(domain)
        if domain is None or not domain.in_post_copy:
            return
        if domain.reason == "PostCopyFailed":
            message = "post-copy is interrupted: the VM's halves are apart; do not start it anywhere"
            self._status.set(ConditionType.POST_COPY_INTERRUPTED, Status.TRUE, "LinkLost", message)
        else:
            self._status.set(ConditionType.POST_COPY_INTERRUPTED, Status.FALSE, "PostCopy", "memory follows")

    def _report_progress(self, sample: Sample, *, in_post_copy: bool) -> None:
        message = f"{self._domain.name} is leaving"
        self._status.set(ConditionType.RUNNING, Status.TRUE, "Migrating", message)
        self._status.advance(
            progress(
                sample,
                elapsed=self._since(self._began_at),
                max_downtime=self._granted,
                before=self._status.progress,
                in_post_copy=in_post_copy,
            )
        )

    def _report_stalling(self, desired: Desired, *, in_post_copy: bool) -> None:
        convergence = self._convergence
        stalling = not in_post_copy and convergence.stalling(
            desired.stalling_limit, now=self._clock.monotonic()
        )
        if not stalling:
            self._status.set(ConditionType.MIGRATION_STALLING, Status.FALSE, "Converging", "")
            return
        best = "unknown" if convergence.best is None else format_duration(convergence.best)
        message = (
            f"the needed downtime has not fallen below {best} for {format_duration(desired.stalling_limit)}"
        )
        reason = "NotConverging"
        if convergence.link_is_slow(desired.bandwidth):
            reason = "LinkSlow"
            message += (
                f"; the link carries {format_quantity(rounded(convergence.bandwidth or 0))} a second only"
            )
        self._status.set(ConditionType.MIGRATION_STALLING, Status.TRUE, reason, message)

    def _since(self, moment: float) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - moment)
