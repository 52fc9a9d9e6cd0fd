"""The interruptions of one post-copy: noticed, told, and taken up again."""

import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.outcome import Ended
from vmferry_agent.decisions.recovery import Flow, Step, flow, next_step
from vmferry_agent.hypervisor.port import Domain, Hypervisor, HypervisorError, StreamHeld, TargetHalfLost
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.call import MigrationCall
from vmferry_agent.migrations.orders import Orders
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_api.migrations import AttemptOutcome, Recovery
from vmferry_api.policies import PostCopyRecovery

_logger = logging.getLogger(__name__)


class Interruption:
    """Follows a post-copy from the source's side.

    Args:
        domain: The VM.
        hypervisor: This host.
        status: Keeps the count of tries, also for a later process.
        reports: Tells.
        orders: What is wanted, and what the target says.
        clock: The time.
        calling: Makes the call that takes it up again.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        hypervisor: Hypervisor,
        status: SourceStatus,
        reports: AttemptReports,
        orders: Orders,
        clock: Clock,
        calling: Callable[[Coroutine[None, None, None]], MigrationCall],
    ) -> None:
        self._domain = domain
        self._hypervisor = hypervisor
        self._status = status
        self._reports = reports
        self._orders = orders
        self._clock = clock
        self._calling = calling
        self._resumption: MigrationCall | None = None
        self._failed_at: float | None = None
        self._taken_up_at: float | None = None
        self._asked_at: datetime | None = None

    @property
    def overcome(self) -> bool:
        """Whether it was taken up again, and libvirt has told that it then completed."""
        return self._resumption is not None and self._resumption.succeeded

    async def see_through(self, half: Domain, seen: Convergence, *, calling: bool) -> Ended | None:
        """Tell how it goes, and do what is to be done; an end only where the target's half is lost.

        Args:
            half: The source's half.
            seen: What its counters have shown.
            calling: The call that has started the migration has not returned yet.
        """
        if self._resumption is not None and (error := self._resumption.error) is not None:
            self._resumption = None
            if isinstance(error, TargetHalfLost):
                return Ended(outcome=AttemptOutcome.FAILED, error=_half_lost(half, error))
            self._answered(error)
        how = self._flow(half, seen)
        on_target = self._orders.vm_on_target
        step = next_step(
            how,
            self._keep(how),
            self._wanted,
            now=self._clock.now(),
            asked_at=self._asked_at,
            target_failed=on_target is not None and on_target.reason == "PostCopyFailed",
            calling=calling or (self._resumption is not None and self._resumption.runs),
            seed=self._orders.migration.metadata.uid,
        )
        self._reports.post_copy(how, exhausted=step is Step.GIVE_UP)
        match step:
            case Step.BREAK:
                await self._hypervisor.break_post_copy(half.uuid)
            case Step.RESUME:
                self._take_up()
        return None

    @property
    def _wanted(self) -> PostCopyRecovery:
        desired = self._orders.desired
        return (desired.post_copy_recovery if desired else None) or PostCopyRecovery()

    def _take_up(self) -> None:
        desired = self._orders.desired
        request = self._orders.request(self._domain, desired) if desired is not None else None
        if request is None:  # what it was started by was withdrawn, which nobody does
            return
        _logger.info("%s: post-copy is taken up again", self._domain.name)
        self._note(tried=1, last_try=self._clock.now())
        self._resumption = self._calling(self._hypervisor.resume_post_copy(self._domain.uuid, request))

    def _answered(self, error: HypervisorError) -> None:
        """A try has failed; one for which it was too early counts as none."""
        self._asked_at = self._clock.now()
        self._note(tried=-1 if isinstance(error, StreamHeld) else 0, error=str(error))

    def _note(self, *, tried: int, **changes: object) -> None:
        recovery = self._status.recovery
        if recovery is not None:
            self._status.recover(recovery.replace(tries=max(0, recovery.tries + tried), **changes))

    def _flow(self, domain: Domain, seen: Convergence) -> Flow:
        now = self._clock.monotonic()
        failed = domain.reason == "PostCopyFailed"
        if failed is not (self._failed_at is not None):
            self._failed_at, self._taken_up_at = (now, None) if failed else (None, now)
        moved = self._failed_at is not None and seen.moved_at is not None and seen.moved_at > self._failed_at
        silent_for = seen.silent_for(now)
        if self._taken_up_at is not None:  # what was taken up anew has not had the time to carry anything
            silent_for = min(silent_for, timedelta(seconds=now - self._taken_up_at))
        return flow(failed=failed, silent_for=silent_for, moved_since_failure=moved)

    def _keep(self, how: Flow) -> Recovery:
        """The record of this interruption; one that is over is closed."""
        recovery = self._status.recovery
        interrupted = how in {Flow.SILENT, Flow.BROKEN}
        if interrupted and (recovery is None or recovery.end is not None):
            recovery = Recovery(since=self._clock.now())
            self._status.recover(recovery)
        elif not interrupted and recovery is not None and recovery.end is None:
            recovery = recovery.replace(end=self._clock.now())
            self._status.recover(recovery)
        return recovery or Recovery(since=self._clock.now())


def _half_lost(half: Domain, error: HypervisorError) -> str:
    return (
        f"{half.name} is lost: its half on the target is gone, and what is left here stands still for ever. "
        f"Destroy it here before it is started anywhere ({error})"
    )
