"""What is known of a running attempt that an earlier process has watched, from what that one has reported."""

from dataclasses import replace

from vmferry_agent.decisions.convergence import MARGIN, MIN_PASSES, Convergence
from vmferry_api.migrations import Progress


def resumed(
    progress: Progress | None, *, began_at: float, now: float, quiet_since: float | None
) -> Convergence:
    """How it has converged so far; what is not told begins anew.

    Args:
        progress: The last report.
        began_at: When the attempt began; times are those of this process' monotonic clock.
        now: The time.
        quiet_since: Since when the needed downtime has not fallen, if it was reported to stall.
    """
    seen = Convergence(progress_at=now)
    if progress is None:
        return seen
    seen = replace(seen, memory_pass=progress.memory_pass, transferred=progress.transferred)
    if not progress.recent:
        return seen
    for each in progress.recent:
        if seen.best is None or each.needed_downtime < seen.best * (1 - MARGIN):
            at = began_at + each.elapsed.total_seconds()
            seen = replace(
                seen, best=each.needed_downtime, best_at=at, best_pass=each.memory_pass, progress_at=at
            )
    if quiet_since is not None:
        seen = _stalled(seen, progress, quiet_since)
    return replace(seen, last=progress.needed_downtime, bandwidth=progress.bandwidth)


def _stalled(seen: Convergence, progress: Progress, quiet_since: float) -> Convergence:
    """The best was before the passes that are still told, all of which were worse, but for a hiccup."""
    since = min(seen.best_at, quiet_since)
    return replace(
        seen,
        best=min(each.needed_downtime for each in progress.recent),
        best_at=since,
        best_pass=min(progress.recent[0].memory_pass, progress.memory_pass - MIN_PASSES),
        progress_at=since,
    )
