"""What is to be expected of a running migration, for people and dashboards."""

from datetime import datetime, timedelta

from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired, Forecast, Progress
from vmferry_api.policies import MigrationPolicySpec
from vmferry_operator.decisions.actions import Outlook
from vmferry_operator.decisions.deadline import deadline
from vmferry_operator.decisions.planner import arrival_in_time
from vmferry_operator.decisions.situations import Situation
from vmferry_operator.decisions.trend import Trend, over_one_link, time_to_send, trend

FIRST_PASS_TO_TELL = 3
"""From then on two passes can be compared."""
STEADY = timedelta(seconds=3)
"""An estimated end that moves by less is left as it is: each change is a write."""


def forecast(
    policy: MigrationPolicySpec,
    desired: Desired,
    situation: Situation,
    outlook: Outlook,
    before: Forecast | None,
    *,
    now: datetime,
) -> Forecast | None:
    """The forecast; None: too early to tell, or nothing runs.

    Args:
        policy: The policy with the migration's overrides.
        desired: What is wanted now.
        situation: Where the migration stands.
        outlook: What is due next.
        before: The last forecast, which stays while nothing has changed but by a little.
        now: The time.
    """
    attempt, progress = situation.attempt, situation.progress
    if attempt is None or progress is None:
        return None
    if situation.in_post_copy:
        return _steady(_of_post_copy(progress, now), before)
    seen = trend(over_one_link(situation.passes))
    if seen is None or situation.memory_pass < FIRST_PASS_TO_TELL:
        return None
    granted = desired.max_downtime or progress.max_downtime or timedelta(0)
    limit = None if policy.objective is None else deadline(policy.objective, situation, attempt)
    arrives = arrival_in_time(seen, granted, situation.passes, attempt, limit)
    if arrives is not None:
        arrives = max(now, arrives)
    return _steady(_of_pre_copy(seen, granted, arrives, _next(outlook)), before)


def _next(outlook: Outlook) -> tuple[str | None, datetime | None]:
    """What will be done, and when; a move is done already, and stands in the audit trail."""
    return outlook.next_action, outlook.next_time


def _of_pre_copy(
    seen: Trend,
    granted: timedelta,
    arrives: datetime | None,
    then: tuple[str | None, datetime | None],
) -> Forecast:
    return Forecast(
        converges=arrives is not None,
        floor=seen.floor if arrives is None else None,
        completion=None if arrives is None else _seconds(arrives + min(seen.needed, granted)),
        next_action=then[0],
        next_time=then[1],
        why=f"{seen}; granted {format_duration(granted)}",
    )


def _of_post_copy(progress: Progress, now: datetime) -> Forecast:
    left = time_to_send(progress)
    completion = None if left is None else _seconds(now + left)
    return Forecast(
        converges=True, completion=completion, why="post-copy ends when the rest of the memory has been sent"
    )


def _seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _steady(new: Forecast, before: Forecast | None) -> Forecast:
    """The last one, if nothing in it has changed so much that somebody would want to know."""
    if before is None:
        return new
    same = (before.converges, before.next_action, before.next_time) == (
        new.converges,
        new.next_action,
        new.next_time,
    )
    if same and _near(before.completion, new.completion) and _close(before.floor, new.floor):
        return before
    return new


def _near(before: datetime | None, new: datetime | None) -> bool:
    if before is None or new is None:
        return before == new
    return abs(before - new) <= STEADY


def _close(before: timedelta | None, new: timedelta | None) -> bool:
    if before is None or new is None:
        return before == new
    return abs(before - new) <= before * 0.05
