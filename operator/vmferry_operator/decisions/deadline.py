"""An objective's deadline, and what still counts as in time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.durations import format_duration
from vmferry_api.migrations import Attempt
from vmferry_api.policies import Objective
from vmferry_operator.decisions.parameters import total_within
from vmferry_operator.decisions.situations import Situation

SOON = 0.1
"""So much longer than the deadline what is about to arrive may take: to start anew would cost all of it again."""
LEAST_SOON = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """When a try must be over."""

    at: datetime
    within: timedelta

    @property
    def soon_after(self) -> datetime:
        """Until then what is about to arrive is let arrive."""
        return self.at + max(LEAST_SOON, self.within * SOON)

    def __str__(self) -> str:
        """For reasons."""
        return f"completeWithin {format_duration(self.within)}"


def deadline(objective: Objective, situation: Situation, attempt: Attempt) -> Deadline | None:
    """The deadline, from the start of the try; None: there is none.

    Args:
        objective: What matters.
        situation: Where the migration stands.
        attempt: The attempt that runs.
    """
    within = total_within(objective, situation.memory)
    if within is None:
        return None
    began = next(
        (each.start for each in situation.attempts if each.number == situation.first_attempt_of_try),
        attempt.start,
    )
    return Deadline(at=began + within, within=within)
