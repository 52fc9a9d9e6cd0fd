"""Steering a running attempt: what is desired is applied, what is seen is judged, and what must end is ended."""

import logging
from datetime import datetime, timedelta

from vmferry_agent.clock import Clock
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
from vmferry_agent.decisions.outcome import GivenUp, restarted, stronger
from vmferry_agent.decisions.ramp import ramp_downtime, reached_after
from vmferry_agent.decisions.recovery import SILENT
from vmferry_agent.decisions.resumption import resumed
from vmferry_agent.hypervisor.port import Domain, Hypervisor, HypervisorError, Sample
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.orders import Orders
from vmferry_agent.migrations.parameters import ParametersInForce
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.migrations.traces import Trace
from vmferry_api.migrations import ApplyError, AttemptOutcome, Desired, MigrationTechnique, Progress

_logger = logging.getLogger(__name__)


class Steering:
    """Steers one attempt.

    Args:
        number: Its own; a desired attempt above it means that this one is to be given up.
        domain: The VM.
        hypervisor: This host.
        status: What was and is reported.
        reports: Tells.
        orders: What is wanted; asked anew each time.
        clock: The time.
        trace: Where it is recorded.
    """

    def __init__(
        self,
        number: int,
        domain: Domain,
        *,
        hypervisor: Hypervisor,
        status: SourceStatus,
        reports: AttemptReports,
        orders: Orders,
        clock: Clock,
        trace: Trace,
    ) -> None:
        self._number = number
        self._domain = domain
        self._hypervisor = hypervisor
        self._status = status
        self._reports = reports
        self._orders = orders
        self._clock = clock
        self._trace = trace
        self._parameters = self._in_force({})
        self._desired: Desired | None = None
        self._applied_revision = 0
        self._errors: list[ApplyError] = []
        self._given_up: GivenUp | None = None
        self._granted: timedelta | None = None
        self._first_pass_ended_at: float | None = None
        self.began_at = clock.monotonic()
        """When the attempt began."""
        self._steered_at = self.began_at
        self.convergence = Convergence(progress_at=self.began_at)
        """What was seen so far."""

    @property
    def elapsed(self) -> timedelta:
        """Since the attempt began."""
        return self._since(self.began_at)

    async def begin(self, desired: Desired) -> None:
        """It is about to be started so."""
        await self._set_first_downtime(desired)
        self._parameters = self._in_force(at_start(desired))

    def adopt(self, since: timedelta) -> None:
        """An earlier process has started it so long ago."""
        self.began_at -= since.total_seconds()
        self._parameters = self._in_force(when_adopted(self._domain, None, ()))
        if self._orders.desired is not None:
            self._take_over(self._orders.desired)

    def _take_over(self, desired: Desired) -> None:
        """Go on from what the earlier process has reported."""
        applied, progress, now = self._status.applied, self._status.progress, self._clock.monotonic()
        if applied is not None and applied.revision == desired.revision:
            refused = {each.parameter for each in applied.errors}
            self._parameters = self._in_force(when_adopted(self._domain, desired, refused))
            self._desired = desired
            self._applied_revision, self._errors = desired.revision, applied.errors
            self._steered_at = self._at(applied.time)
        if desired.technique == MigrationTechnique.POST_COPY:
            self._parameters.switch_ordered_at = now  # the last thing that it did, perhaps
        if self._status.limit_run_into is not None:
            self._given_up = self._give_up(self._status.limit_run_into)
        if progress is not None:
            self._granted = progress.max_downtime
            self._first_pass_ended_at = self._ramp_began_at(desired, progress)
        stalling_since = self._status.standing_still_since
        silent_since = self._status.silent_since(max(desired.stalling_limit, SILENT))
        self.convergence = resumed(
            progress,
            began_at=self.began_at,
            now=now,
            stalling_since=None if stalling_since is None else self._at(stalling_since),
            limit=desired.stalling_limit,
            moved_at=None if silent_since is None else self._at(silent_since),
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
            not_suspended=self._status.let_run_again,
        )

    async def steer(self, sample: Sample, *, in_post_copy: bool, report: bool) -> None:
        """See how it goes, set what differs from what is desired, say so, and abort it where it must end.

        Args:
            sample: What was seen.
            in_post_copy: Whether post-copy is on.
            report: Whether to report progress by it.
        """
        now = self._clock.monotonic()
        self.convergence = self.convergence.after(sample, now=now, in_post_copy=in_post_copy)
        if sample.memory_pass > 1 and self._first_pass_ended_at is None:
            self._first_pass_ended_at = now
        order = self._orders.now()
        if isinstance(order, Desired):
            if steers(self._desired, order):
                self._steered_at = now
            self._desired = order
        try:
            await self._follow(order, sample, in_post_copy=in_post_copy)
        finally:  # whatever the host refuses or does not answer, limits hold
            await self.give_up_if_due(in_post_copy=in_post_copy)
        if report:
            self._reports.progress(
                sample, elapsed=self.elapsed, max_downtime=self._granted, in_post_copy=in_post_copy
            )

    async def _follow(self, order: Desired | GivenUp, sample: Sample, *, in_post_copy: bool) -> None:
        """Set what differs from what is desired, and judge by it."""
        if isinstance(order, Desired):
            if sample.memory_pass > 0 and (in_post_copy or order.attempt <= self._number):
                await self._apply(order, in_post_copy=in_post_copy)
            self._reports.stalling(
                self.convergence,
                order.stalling_limit,
                now=self._clock.monotonic(),
                cap=bandwidth(order),
                in_post_copy=in_post_copy,
            )

    async def _apply(self, desired: Desired, *, in_post_copy: bool) -> None:
        """Set what differs; a revision counts as applied when each of its parameters is set or refused."""
        answer = await self._parameters.apply(
            desired,
            max_downtime=self._max_downtime(desired),
            in_post_copy=in_post_copy,
            held=held_back(self.convergence.silent_for(self._clock.monotonic())),
        )
        if answer.complete and (desired.revision, answer.errors) != (self._applied_revision, self._errors):
            self._applied_revision, self._errors = desired.revision, answer.errors
            self._status.apply(desired, answer.errors, attempt=self._number)

    def _note_change(self, change: Change, before: Value) -> None:
        """Record it, and look anew at what it makes different."""
        self._trace.set(self.elapsed.total_seconds(), change.parameter, change.value)
        if change.parameter == Parameter.MAX_DOWNTIME and isinstance(change.value, timedelta):
            self._granted = change.value
        match change.parameter, before, change.value:
            case Parameter.BANDWIDTH, int() | None as old, int() | None as new:
                self.convergence = self.convergence.with_bandwidth(old, new)
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
        first = self._max_downtime(desired)
        if first is None:
            return
        try:
            await self._hypervisor.set_max_downtime(self._domain.uuid, first)
        except HypervisorError as error:
            _logger.info("%s: maxDowntime is set once the job runs: %s", self._domain.name, error)
        else:
            self._granted = first

    async def give_up_if_due(self, *, in_post_copy: bool) -> None:
        """Abort where it is wanted or a limit is run into; nothing aborts post-copy."""
        if in_post_copy or self._may_be_switching:
            return
        self._given_up = self.end_ordered() or self._overrun()
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

    def end_ordered(self) -> GivenUp | None:
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
            without_progress=self._since(max(self.convergence.progress_at, self._steered_at)),
            elapsed=self.elapsed,
        )
        return None if limit is None else self._give_up(limit)

    def _give_up(self, limit: str) -> GivenUp:
        self._reports.giving_up(limit)
        return GivenUp(outcome=AttemptOutcome.ABORTED, reason=limit)

    def _since(self, moment: float) -> timedelta:
        return timedelta(seconds=self._clock.monotonic() - moment)
