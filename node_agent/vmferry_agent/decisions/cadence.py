"""When to look at a running migration: soon after each pass has begun, and seldom otherwise."""

from dataclasses import dataclass, replace

POLL = 1.0
"""Seconds between two looks while nothing is heard: bytes and, in a silent link, their absence."""
AFTER_PASS = (0.12, 0.25)
"""Seconds after a pass has begun. QEMU reckons the needed downtime anew 0.1 s after the dirty bitmap was read; two
looks at each pass, because its bandwidth has hiccups."""
GAP = 0.1
"""Seconds between two looks at least: near the end passes take no longer than that."""


@dataclass(frozen=True, kw_only=True)
class Cadence:
    """What was heard and when it was looked; times are those of a monotonic clock."""

    looked_at: float
    pass_heard_at: float | None = None
    """When the first pass since the last look was heard to have begun."""

    def heard_pass(self, now: float) -> "Cadence":
        """A pass has begun. One that follows before the last was looked at puts nothing off."""
        waits = self.pass_heard_at is not None and self.looked_at < self.pass_heard_at + AFTER_PASS[0]
        return self if waits else replace(self, pass_heard_at=now)

    def looked(self, now: float) -> "Cadence":
        """It was looked at."""
        return replace(self, looked_at=now)

    @property
    def due(self) -> float:
        """When to look next."""
        after_pass = (
            self.pass_heard_at + offset
            for offset in AFTER_PASS
            if self.pass_heard_at is not None and self.looked_at < self.pass_heard_at + offset
        )
        return max(min([self.looked_at + POLL, *after_pass]), self.looked_at + GAP)
