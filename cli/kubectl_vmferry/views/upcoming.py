"""What is done next to a migration, and when; what is to be expected of it."""

import re
from datetime import datetime

from kubectl_vmferry.views.figures import downtime, seconds
from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired, Forecast, VMMigration
from vmferry_api.policies import MigrationPolicySpec, Step, Trigger
from vmferry_operator.decisions.actions import action_of
from vmferry_operator.decisions.ladder import behind
from vmferry_operator.decisions.records import since
from vmferry_operator.decisions.situations import situation

_RISE = re.compile(r", \+[\d.]+% a pass over \d+ passes")
NOTHING_LEFT = "nothing is left to try; it goes on as it is"


def next_in_words(migration: VMMigration, policy: MigrationPolicySpec | None, now: datetime) -> str:
    """What is done next, and when; empty: that is not known, or there is nothing.

    Args:
        migration: The migration.
        policy: The policy in force, with the migration's overrides; None: not known.
        now: The time.
    """
    status = migration.status
    if status.is_over or status.desired is None or not status.attempts or status.attempts[-1].end is not None:
        return ""
    expected = status.forecast
    if expected is not None and expected.next_action is not None:
        return f"{expected.next_action} {_when(expected, now)}"
    if policy is None or not policy.steps:
        return ""
    waiting = _first_ahead(migration, policy, status.desired)
    if waiting is None:
        return NOTHING_LEFT
    place, step = waiting
    return f"step {place}: {action_of(step).text(status.desired)}, {trigger(step.after)}"


def _when(expected: Forecast, now: datetime) -> str:
    if expected.next_time is None:
        return "as soon as a report calls for it"
    left = expected.next_time - now
    return f"in {seconds(left)}" if left.total_seconds() > 0 else "now"


def _first_ahead(
    migration: VMMigration, policy: MigrationPolicySpec, desired: Desired
) -> tuple[int, Step] | None:
    stands = situation(migration)
    trail = since(migration.status.steps, stands.first_attempt_of_try)
    for place, step in enumerate(policy.steps or [], start=1):
        if not behind(step, desired, trail, stands):
            return place, step
    return None


def trigger(after: Trigger) -> str:
    """When a step is due, in words."""
    if after.stalled is not None:
        return f"once it has stalled for {format_duration(after.stalled)}"
    if after.passes is not None:
        return f"once it comes to pass {after.passes}"
    if after.elapsed is not None:
        return f"{format_duration(after.elapsed)} after the start"
    wait = format_duration(after.elapsed_per_gib) if after.elapsed_per_gib is not None else "?"
    return f"{wait} per GiB of memory after the start"


def expected_in_words(migration: VMMigration, now: datetime) -> str:
    """The forecast; empty: there is none yet."""
    expected = migration.status.forecast
    if expected is None or migration.status.is_over:
        return ""
    if not expected.converges:
        floor = f": it tends to a stop of {downtime(expected.floor)}" if expected.floor is not None else ""
        # a rise over a few passes is noise about the floor, and would seem to deny it
        why = _RISE.sub("", expected.why) if floor else expected.why
        return f"does not end by itself{floor} ({why})"
    if expected.completion is None:
        return f"ends by itself ({expected.why})"
    left = expected.completion - now
    soon = f"in about {seconds(left)}" if left.total_seconds() > 1 else "any moment"
    return f"ends {soon} ({expected.why})"
