"""What is known of a running attempt that an earlier process has watched, from what that one has reported."""

from dataclasses import replace
from datetime import timedelta

from vmferry_agent.decisions.convergence import Convergence
from vmferry_agent.decisions.standstill import MARGIN, MIN_PASSES, Standstill
from vmferry_api.migrations import Progress

ROUNDED_BY = 2**19
"""Bytes by which what is told may be too low: a silent stream must not seem to have moved by that."""


def resumed(
    progress: Progress | None,
    *,
    began_at: float,
    now: float,
    stalling_since: float | None,
    limit: timedelta,
    moved_at: float | None = None,
) -> Convergence:
    """How it has converged so far; what is not told begins anew.

    Args:
        progress: The last report.
        began_at: When the attempt began; times are those of this process' monotonic clock.
        now: The time.
        stalling_since: Since when it was reported not to get nearer, if it was.
        limit: The stallingLimit by which it was.
        moved_at: When the stream carried something last, if it was reported to be silent.
    """
    seen = Convergence(progress_at=now, moved_at=moved_at)
    if progress is None:
        return seen
    sent = progress.transferred if moved_at is None else progress.transferred + ROUNDED_BY
    seen = replace(seen, memory_pass=progress.memory_pass, transferred=sent)
    if not progress.recent:
        return seen
    still = Standstill()
    for each in progress.recent:
        at = began_at + each.elapsed.total_seconds()
        if still.best is None or each.needed_downtime < still.best * (1 - MARGIN):
            still = Standstill(best=each.needed_downtime, best_at=at, best_pass=each.memory_pass)
            seen = replace(seen, progress_at=now)
        elif each.memory_pass >= still.best_pass + MIN_PASSES:
            seen = replace(seen, progress_at=min(seen.progress_at, at))
    if stalling_since is not None:
        # the best was before the passes that are still told; if one of them was lower, it was by a hiccup
        still = Standstill(
            best=min(each.needed_downtime for each in progress.recent),
            best_at=min(still.best_at, stalling_since - limit.total_seconds()),
            best_pass=min(progress.recent[0].memory_pass, progress.memory_pass - MIN_PASSES),
        )
        seen = replace(seen, progress_at=min(seen.progress_at, stalling_since))
    return replace(
        seen,
        best=still.best,
        best_pass=still.best_pass,
        standstill=replace(still, shown_pass=progress.memory_pass),
        last=progress.needed_downtime,
        bandwidth=progress.bandwidth,
    )
