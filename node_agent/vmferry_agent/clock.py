"""The time, as the agent reads it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Clock:
    """The clocks of this node."""

    def now(self) -> datetime:
        """The time of day, for what others read."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never jump, for durations."""
        return time.monotonic()
