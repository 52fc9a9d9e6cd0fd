"""The interruptions of one post-copy: noticed, told, and taken up again."""

import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.outcome import Ended
from vmferry_agent.decisions.recovery import SHOWS, Flow, Step, flow, next_step
from vmferry_agent.hypervisor.port import (
    Domain,
    Hypervisor,
    HypervisorError,
    StartRequest,
    StreamHeld,
    TargetHalfLost,
)
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.call import MigrationCall
from vmferry_agent.migrations.orders import Orders
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_agent.reach import Reach
from vmferry_api.migrations import AttemptOutcome, Recovery
from vmferry_api.policies import PostCopyRecovery

_logger = logging.getLogger(__name__)

_WORDS = {
    Flow.FLOWS: "post-copy goes on",
    Flow.APART: "libvirt's daemons have lost each other, memory flows",
    Flow.SILENT: "post-copy is interrupted: nothing flows, and no host has noticed",
    Flow.BROKEN: "post-copy is interrupted: the link is lost",
}
SAME = timedelta(minutes=1)
"""An interruption that follows another within this time is the same one, and goes on with its tries."""


class Interruption:
    """Follows a post-copy from the source's side.

    Args:
        domain: The VM.
        hypervisor: This host.
        status: Keeps the count of tries, also for a later process.
        reports: Tells.
        orders: What is wanted, and what the target says.
        reach: Whether the target's daemon answers.
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
        reach: Reach,
        clock: Clock,
        calling: Callable[[Coroutine[None, None, None]], MigrationCall],
    ) -> None:
        self._domain = domain
        self._hypervisor = hypervisor
        self._status = status
        self._reports = reports
        self._orders = orders
        self._reach = reach
        self._clock = clock
        self._calling = calling
        self._resumption: MigrationCall | None = None
        self._failed_at: float | None = None
        self._taken_up_at: float | None = None
        self._asked_at: datetime | None = None
        self._old_word = False
        self._learned = False
        self._silent_for = timedelta(0)
        self._told = _WORDS[Flow.FLOWS]

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
            if isinstance(error, TargetHalfLost) and self._is_half_gone:
                _logger.error("%s: its half on the target is lost: %s", half.name, error)
                return Ended(outcome=AttemptOutcome.FAILED, error=self._half_lost(error))
            self._answered(error)
        how = self._flow(half, seen)
        if how is None:
            return None
        step = next_step(
            how,
            self._keep(how),
            self._wanted,
            now=self._clock.now(),
            asked_at=self._asked_at,
            target_failed=self._target_has_failed(),
            calling=calling or (self._resumption is not None and self._resumption.runs),
            seed=self._orders.migration.metadata.uid,
        )
        self._tell(how, exhausted=step is Step.GIVE_UP)
        if how is Flow.FLOWS and not self._learned:
            self._learned = True
            if (request := self._request) is not None:
                await self._reach.learn(request.connect_uri)
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

    @property
    def _request(self) -> StartRequest | None:
        """How to take it up again; None: it is not known where."""
        desired = self._orders.desired
        return self._orders.request(self._domain, desired) if desired is not None else None

    def _take_up(self) -> None:
        request = self._request
        if request is None:  # what it was started by was withdrawn, which nobody does
            return
        tries = self._status.recovery.tries + 1 if self._status.recovery else 1
        _logger.info("%s: try %d of %d to take it up again", self._domain.name, tries, self._wanted.attempts)
        self._note(tried=1, last_try=self._clock.now())
        self._old_word = self._target_has_failed()
        self._resumption = self._calling(self._resume(request))

    async def _resume(self, request: StartRequest) -> None:
        await self._reach.check(request.connect_uri)
        await self._hypervisor.resume_post_copy(self._domain.uuid, request)

    def _tell(self, how: Flow, *, exhausted: bool) -> None:
        self._reports.post_copy(how, exhausted=exhausted)
        told = "the tries are used up" if exhausted else _WORDS[how]
        if told != self._told:
            level = logging.INFO if how in {Flow.FLOWS, Flow.APART} else logging.WARNING
            _logger.log(level, "%s: %s", self._domain.name, told)
            self._told = told

    def _answered(self, error: HypervisorError) -> None:
        """A try has failed; one for which it was too early counts as none."""
        self._asked_at = self._clock.now()
        self._note(tried=-1 if isinstance(error, StreamHeld) else 0, error=str(error))

    def _half_lost(self, error: HypervisorError) -> str:
        spec = self._orders.migration.spec
        return (
            f"{spec.vm} is lost: its half on {spec.target_node} is gone, and what is left on {spec.source_node} "
            f"stands still for ever. Destroy it there (virsh destroy) before it is started anywhere ({error})"
        )

    def _note(self, *, tried: int, **changes: object) -> None:
        recovery = self._status.recovery
        if recovery is not None:
            self._status.recover(recovery.replace(tries=max(0, recovery.tries + tried), **changes))

    @property
    def _is_half_there(self) -> bool:
        """Whether the target's agent sees a half of it there, whatever a daemon answers to the source's."""
        on_target = self._orders.vm_on_target
        return on_target is not None and on_target.in_post_copy

    @property
    def _is_half_gone(self) -> bool:
        """Whether the target's agent has looked, and sees no half of it; one that can't look has not seen that."""
        target = self._orders.migration.status.target
        return (
            target is not None
            and target.vm is not None
            and not (target.unreachable or target.vm.in_post_copy)
        )

    def _target_has_failed(self) -> bool:
        """Whether the target says so of what flows now, and not still of what was taken up anew since."""
        on_target = self._orders.vm_on_target
        failed = on_target is not None and on_target.post_copy_failed
        if not failed:
            self._old_word = False
        return failed and not self._old_word

    def _flow(self, domain: Domain, seen: Convergence) -> Flow | None:
        """How it goes; None: libvirt has just called it failed, and whether memory flows will show."""
        now = self._clock.monotonic()
        failed = domain.post_copy_failed
        if failed is not (self._failed_at is not None):
            self._failed_at, self._taken_up_at = (now, None) if failed else (None, now)
        if self._failed_at is not None and now - self._failed_at < SHOWS.total_seconds():
            return None
        moved = self._flows_all_the_same(seen)
        silent_for = seen.silent_for(now)
        if self._taken_up_at is not None:  # what was taken up anew has not had the time to carry anything
            silent_for = min(silent_for, timedelta(seconds=now - self._taken_up_at))
        self._silent_for = silent_for
        return flow(failed=failed, silent_for=silent_for, moved_since_failure=moved)

    def _flows_all_the_same(self, seen: Convergence) -> bool:
        """Whether it has flowed since, and not only into the buffer of a dead connection."""
        if self._failed_at is None or seen.moved_at is None or not self._is_half_there:
            return False
        return not self._target_has_failed() and seen.moved_at > self._failed_at + SHOWS.total_seconds() / 2

    def _begun(self, before: Recovery | None, since: datetime) -> Recovery:
        """The record of an interruption before which memory flowed last then."""
        if before is None or before.end is None or since - before.end >= SAME:
            return Recovery(since=since)
        return before.replace(again=max(since, before.end), end=None)

    def _keep(self, how: Flow) -> Recovery:
        """The record of this interruption; one that is over is closed."""
        recovery = self._status.recovery
        interrupted = how in {Flow.SILENT, Flow.BROKEN}
        now = self._clock.now()
        if interrupted and (recovery is None or recovery.end is not None):
            recovery = self._begun(recovery, now - self._silent_for)
            self._status.recover(recovery)
        elif not interrupted and recovery is not None and recovery.end is None:
            recovery = recovery.replace(end=now)
            self._status.recover(recovery)
        return recovery or Recovery(since=now)
