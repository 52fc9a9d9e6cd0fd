"""What has happened to a migration, counted once, by what its status says that it did not say before."""

from vmferry_agent.measurements import Measurements
from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import VMMigrationStatus


def tally(before: VMMigrationStatus, now: VMMigrationStatus, measurements: Measurements) -> None:
    """Count the attempts that have ended and the post-copies that were interrupted in between."""
    ended = {each.number for each in before.attempts if each.outcome is not None}
    for attempt in now.attempts:
        if attempt.outcome is not None and attempt.number not in ended:
            measurements.attempt_ended(attempt.outcome)
    interrupted = ConditionType.POST_COPY_INTERRUPTED
    if is_true(now.conditions, interrupted) and not is_true(before.conditions, interrupted):
        measurements.post_copy_interrupted()
