"""For how long the needed downtime has not fallen, in a way that does not flap.

What a guest needs is noisy: one that pauses for a moment, or is not given the processor, needs less for a pass
or two, and one at its floor more or less by a twentieth (tests/traces). So a fall counts only once it has lasted;
while it has yet to last, nothing new is said, neither of a guest that stalls nor of one that does not; and one
that stalls must fall clearly not to.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import takewhile
from statistics import median_low

MARGIN = 0.03
"""The best needed downtime must fall by this part of itself to count as falling."""
CLEAR = 0.1
"""And by this one to end a standstill."""
LASTING = 4.0
"""Seconds that a fall must last, and into the next pass; no pause in tests/traces has lasted so long but one."""
LONG = 30.0
"""Seconds after which the next pass is not waited for: a pass so long is told by no moment's pause."""
MIN_PASSES = 3
"""So many passes must have brought nothing, however long they take: the passes of a huge VM are slow."""


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a look has shown."""

    at: float
    memory_pass: int
    downtime: timedelta
    """The higher one of this look and the one before: a hiccup of the measured bandwidth lowers a single one."""
    alone: timedelta
    """That of this look."""
    bandwidth: int | None
    """Bytes per second."""


@dataclass(frozen=True, kw_only=True)
class Standstill:
    """What has been seen of the needed downtime. Times are those of a monotonic clock."""

    best: timedelta | None = None
    """The lowest one that has lasted; None: no pass has shown any yet."""
    best_at: float = 0.0
    best_pass: int = 0
    falling_at: float | None = None
    """The last look before less than the best was needed, which has yet to last; None: it is not."""
    falling_pass: int = 0
    """The last pass that had shown what it needs by then."""
    longest: float = 0.0
    """The longest time for which a best was not fallen below, if for enough passes, since a clear fall."""
    longest_best: timedelta | None = None
    """That best."""
    recent: tuple[Need, ...] = ()
    """What was needed in the last seconds, as long as a fall must last."""
    passed: timedelta | None = None
    """What the pass before the last look's has needed in the end; None: not known."""
    shown_pass: int = 0
    """The last pass that has shown what it needs; one whose first look shows a fall does by its second look."""

    @property
    def bandwidth(self) -> int | None:
        """The median of the last seconds', in bytes per second: a single one is of a tenth of a second."""
        known = [each.bandwidth for each in self.recent if each.bandwidth is not None]
        return median_low(known) if known else None

    def after(self, need: Need) -> "Standstill":
        """What has been seen with one more look, in the second pass or a later one."""
        if self.best is None or self._was_too_low(need):
            first = replace(self, best=need.downtime, best_at=need.at, best_pass=need.memory_pass)
            return replace(first, falling_at=None, recent=(need,))
        if not self.recent:
            return replace(self, recent=(need,))
        last = self.recent[-1]
        another = need.memory_pass != last.memory_pass
        seen = replace(
            self,
            recent=_within((*self.recent, need)),
            passed=last.downtime if another else self.passed,
            shown_pass=need.memory_pass - (another and _falls(need.alone, self.best)),
        )
        if not _falls(need.downtime, self.best):
            return replace(seen, falling_at=None)
        last_above = last.at if self.falling_at is None else self.falling_at
        if self.falling_at is None:
            seen = replace(seen, falling_at=last_above, falling_pass=self.shown_pass)
        highest = max(each.downtime for each in seen.recent)
        if need.at - seen.recent[0].at < LASTING or not _falls(highest, self.best):
            return seen
        # not what the last look's pass has needed: a pass' first look alone may show too little
        waits = self.passed is not None and not _falls(self.passed, self.best)
        return seen if waits and need.at - last_above < LONG else _fallen(seen, highest)

    def _was_too_low(self, need: Need) -> bool:
        """Whether the very first best was that of a guest's pause, or of another bandwidth."""
        if self.best is None or self.longest_best is not None:
            return False
        return need.memory_pass < self.best_pass + MIN_PASSES and _falls(self.best, need.downtime, CLEAR)

    def lasts(self, limit: timedelta, *, now: float) -> bool:
        """Whether it does for so long: three whole passes, too.

        While a fall has yet to last, the answer is that of the moment when it began.
        """
        return self.best is not None and max(self.longest, self.lasted(now)) >= limit.total_seconds()

    def lasted(self, now: float) -> float:
        """Seconds for which the best was not fallen below; 0 if for too few passes."""
        until, passes = now, self.shown_pass
        if self.falling_at is not None:
            until, passes = self.falling_at, self.falling_pass
        return until - self.best_at if passes - self.best_pass >= MIN_PASSES else 0.0


def _fallen(seen: Standstill, best: timedelta) -> Standstill:
    """A fall has lasted: since when, and whether it goes on."""
    first, now = seen.recent[0], seen.recent[-1]
    longest, longest_best = seen.longest, seen.longest_best
    if (lasted := seen.lasted(now.at)) >= longest:
        longest, longest_best = lasted, seen.best
    ends = longest > 0 and _falls(best, longest_best, CLEAR)
    below = [*takewhile(lambda each: _falls(each.downtime, best), reversed(seen.recent))]
    since = now if ends else below[-1] if below else first
    return replace(
        seen,
        best=best,
        best_at=since.at,
        best_pass=since.memory_pass,
        falling_at=since.at if below else None,
        falling_pass=since.memory_pass - 1,
        longest=0.0 if ends else longest,
        longest_best=longest_best,
    )


def _falls(needed: timedelta, best: timedelta | None, margin: float = MARGIN) -> bool:
    return best is None or needed < best * (1 - margin)


def _within(recent: tuple[Need, ...]) -> tuple[Need, ...]:
    """What reaches back as far as a fall must last, and no further."""
    while len(recent) > 1 and recent[-1].at - recent[1].at >= LASTING:
        recent = recent[1:]
    return recent
