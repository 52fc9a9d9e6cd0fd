"""What is reported of a running attempt: its progress, whether it stalls, and where the VM is."""

from datetime import timedelta

from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.figures import progress, worth_telling
from vmferry_agent.decisions.recovery import SILENT, Flow
from vmferry_agent.hypervisor.port import Domain, Sample
from vmferry_agent.migrations.source_status import GIVING_UP, SourceStatus
from vmferry_api.conditions import LINK_SILENT, RECOVERY_EXHAUSTED, ConditionType, Status
from vmferry_api.durations import format_duration
from vmferry_api.quantities import format_quantity, rounded

_APART = "the VM's halves are apart: do not start it anywhere"
_DAEMONS_APART = (
    "the two libvirt daemons have lost each other, but memory follows all the same; it is waited for"
)
_NOTHING_FLOWS = (
    f"nothing has flowed for {format_duration(SILENT)}, and no host has noticed: the link is cut or blocked, and "
    f"the guest stands still where it needs a page. It goes on by itself soon after the link is back; {_APART}"
)
_LINK_LOST = (
    f"post-copy is interrupted; it is taken up again as soon as the link is back (status.recovery); {_APART}"
)
_EXHAUSTED = (
    "post-copy is interrupted, and the policy allows no more tries to take it up again (status.recovery tells of "
    f"those that were made). Mend what was in the way, and raise postCopyRecovery.attempts; {_APART}"
)
_INTERRUPTED = {
    Flow.FLOWS: (Status.FALSE, "PostCopy", "memory follows"),
    Flow.APART: (Status.FALSE, "DaemonsApart", _DAEMONS_APART),
    Flow.SILENT: (Status.TRUE, LINK_SILENT, _NOTHING_FLOWS),
    Flow.BROKEN: (Status.TRUE, "LinkLost", _LINK_LOST),
}


class AttemptReports:
    """Puts into words what is seen of a running attempt.

    Args:
        name: The VM's.
        status: Where to report.
    """

    def __init__(self, name: str, status: SourceStatus) -> None:
        self._name = name
        self._status = status
        self._giving_up = False

    def domain(self, domain: Domain | None) -> None:
        """The VM's state here."""
        self._status.see(domain)

    def post_copy(self, how: Flow, *, exhausted: bool = False) -> None:
        """Whether post-copy is interrupted, and by what; `exhausted`: it was tried as often as the policy says."""
        status, reason, message = _INTERRUPTED[how]
        if exhausted:
            reason, message = RECOVERY_EXHAUSTED, _EXHAUSTED
        self._status.set(ConditionType.POST_COPY_INTERRUPTED, status, reason, message)

    def progress(
        self, sample: Sample, *, elapsed: timedelta, max_downtime: timedelta | None, in_post_copy: bool
    ) -> None:
        """How far it is."""
        if not self._giving_up:
            self._status.set(ConditionType.RUNNING, Status.TRUE, "Migrating", f"{self._name} is leaving")
        before = self._status.progress
        if worth_telling(sample, elapsed=elapsed, max_downtime=max_downtime, before=before):
            self._status.advance(
                progress(
                    sample,
                    elapsed=elapsed,
                    max_downtime=max_downtime,
                    before=before,
                    in_post_copy=in_post_copy,
                )
            )

    def giving_up(self, limit: str) -> None:
        """That it is aborted for the limit that it has run into: no order tells that to who comes after."""
        self._giving_up = True
        self._status.set(ConditionType.RUNNING, Status.TRUE, GIVING_UP, limit)

    def stalling(
        self, convergence: Convergence, limit: timedelta, *, now: float, cap: int | None, in_post_copy: bool
    ) -> None:
        """Whether it stalls, and by what; `cap` is the bandwidth granted, in bytes per second."""
        reported = limit > timedelta(0) and not in_post_copy
        if reported and max(limit, SILENT) <= convergence.silent_for(now):
            silent = (
                f"nothing has been sent for {format_duration(max(limit, SILENT))}: the link is cut or blocked"
            )
            self._status.set(ConditionType.MIGRATION_STALLING, Status.TRUE, LINK_SILENT, silent)
            return
        if in_post_copy or not convergence.stalling(limit, now=now):
            self._status.set(ConditionType.MIGRATION_STALLING, Status.FALSE, "Converging", "")
            return
        best = "unknown" if convergence.best is None else format_duration(convergence.best)
        message = f"the needed downtime has not fallen below {best} for {format_duration(limit)}"
        reason = "NotConverging"
        if convergence.link_is_slow(cap):
            reason = "LinkSlow"
            carried = format_quantity(rounded(convergence.bandwidth or 0))
            message += f"; the link carries {carried} a second only"
        self._status.set(ConditionType.MIGRATION_STALLING, Status.TRUE, reason, message)
