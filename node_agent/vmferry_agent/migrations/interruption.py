"""The interruptions of one post-copy: noticed, told, and what follows from them."""

from datetime import datetime, timedelta

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
        self._taken_up_at: float | None = None
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

    def trying(self) -> None:
        """It is about to be taken up again."""
        self._note(tried=1, last_try=self._clock.now())

    def answered(self, error: HypervisorError) -> None:
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
