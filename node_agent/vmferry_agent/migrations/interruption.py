"""The interruptions of one post-copy: noticed, told, and what follows from them."""

from datetime import datetime

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.recovery import Flow, Step, flow, next_step
from vmferry_agent.hypervisor.port import Domain, HypervisorError, StreamHeld
from vmferry_agent.migrations.attempt_reports import AttemptReports
from vmferry_agent.migrations.source_status import SourceStatus
from vmferry_api.migrations import Recovery, VMReport
from vmferry_api.policies import PostCopyRecovery


class Interruption:
    """Follows a post-copy from the source's side.

    Args:
        status: Keeps the count of tries, also for a later process.
        reports: Tells.
        clock: The time.
        seed: What sets this migration apart from others that are interrupted at the same moment.
    """

    def __init__(self, status: SourceStatus, reports: AttemptReports, *, clock: Clock, seed: str) -> None:
        self._status = status
        self._reports = reports
        self._clock = clock
        self._seed = seed
        self._failed_at: float | None = None
        self._asked_at: datetime | None = None

    def next_step(
        self,
        domain: Domain,
        seen: Convergence,
        wanted: PostCopyRecovery,
        *,
        on_target: VMReport | None,
        calling: bool,
    ) -> Step:
        """What to do now; how it goes is told.

        Args:
            domain: The source's half.
            seen: What its counters have shown.
            wanted: What the policy says.
            on_target: The target's half, as its agent sees it.
            calling: A call that drives the migration has not returned yet.
        """
        how = self._flow(domain, seen)
        recovery = self._keep(how)
        step = next_step(
            how,
            recovery,
            wanted,
            now=self._clock.now(),
            asked_at=self._asked_at,
            target_failed=on_target is not None and on_target.reason == "PostCopyFailed",
            calling=calling,
            seed=self._seed,
        )
        self._reports.post_copy(how, exhausted=step is Step.GIVE_UP)
        return step

    def answered(self, error: HypervisorError) -> None:
        """A try to take it up again has failed."""
        self._asked_at = self._clock.now()
        recovery = self._status.recovery
        if recovery is None or isinstance(error, StreamHeld):
            return
        tries = recovery.tries + 1
        self._status.recover(recovery.replace(tries=tries, last_try=self._asked_at, error=str(error)))

    def _flow(self, domain: Domain, seen: Convergence) -> Flow:
        now = self._clock.monotonic()
        failed = domain.reason == "PostCopyFailed"
        if not failed:
            self._failed_at = None
        elif self._failed_at is None:
            self._failed_at = now
        moved = self._failed_at is not None and seen.moved_at is not None and seen.moved_at > self._failed_at
        return flow(failed=failed, silent_for=seen.silent_for(now), moved_since_failure=moved)

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
