"""Where the needed downtime is heading: the judgement that planner and forecast share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from vmferry_api.durations import format_duration
from vmferry_api.migrations import PassRecord, Progress

SAME_BANDWIDTH = 0.25
"""More than the hiccups of what QEMU measures over 100 ms, less than what another migration takes or leaves."""
NEVER = timedelta(days=365)
"""What takes longer than this does not come."""
WINDOW = 5
"""Passes that are looked at: a lucky outlier must not count for ever."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How the needed downtime changes from pass to pass."""

    needed: timedelta
    """As of the start of the last pass."""
    ratio: float | None
    """By which it changes a pass, over the window; None: there was only one pass to look at."""
    floor: timedelta
    """The low end of the window: its second lowest value, where there are enough to leave an outlier out."""
    passes: int
    """In the window."""
    began: timedelta
    """When the last pass did, since the attempt began."""

    def time_to(self, granted: timedelta) -> timedelta | None:
        """How long until it fits into the granted downtime; None: never at this rate, or not to be said yet.

        Each pass lasts as long as the needed downtime as of its start, so that the passes' times are a geometric
        series.
        """
        if self.needed <= granted:
            return timedelta(0)
        if self.ratio is None or self.ratio >= 1:
            return None
        seconds = (self.needed - granted).total_seconds() / (1 - self.ratio)
        return None if seconds > NEVER.total_seconds() else timedelta(seconds=seconds)

    def arrives(self, granted: timedelta) -> timedelta | None:
        """When it will fit into the granted downtime, since the attempt began; None: as for `time_to`."""
        left = self.time_to(granted)
        return None if left is None else self.began + left

    def __str__(self) -> str:
        """The figures, for reasons."""
        text = f"needed downtime {format_duration(_to_10_ms(self.needed))}"
        if self.ratio is None:
            return text
        return f"{text}, {self.ratio - 1:+.1%} a pass over {self.passes} passes"


def trend(passes: Sequence[PassRecord]) -> Trend | None:
    """The trend of the last passes; None: there were none."""
    if not passes:
        return None
    window = passes[-WINDOW:]
    values = sorted(each.needed_downtime for each in window)
    first, last = window[0], window[-1]
    ratio = None
    span = last.memory_pass - first.memory_pass
    fall = _fall(first, last) if span > 0 else None
    if fall is not None:
        ratio = fall ** (1 / span)
    return Trend(
        needed=last.needed_downtime,
        ratio=ratio,
        floor=values[1] if len(values) > 2 else values[0],  # noqa: PLR2004 - of two, the lower
        passes=len(window),
        began=last.elapsed,
    )


def time_to_send(progress: Progress) -> timedelta | None:
    """How long what is left takes at the bandwidth that was seen last; None: none was, or it takes for ever."""
    if not progress.bandwidth:
        return None
    seconds = progress.remaining / progress.bandwidth
    return None if seconds > NEVER.total_seconds() else timedelta(seconds=seconds)


def over_one_link(passes: Sequence[PassRecord]) -> Sequence[PassRecord]:
    """The last passes that had about the same bandwidth: what they show says nothing of another one."""
    for place in range(len(passes) - 1, 0, -1):
        if not _same_bandwidth(passes[place - 1], passes[-1]):
            return passes[place:]
    return passes


def _same_bandwidth(one: PassRecord, other: PassRecord) -> bool:
    rates = [
        each.pending / each.needed_downtime.total_seconds()
        for each in (one, other)
        if each.pending and each.needed_downtime
    ]
    return len(rates) < 2 or abs(rates[0] - rates[1]) <= SAME_BANDWIDTH * rates[1]  # noqa: PLR2004 - not both told


def _fall(first: PassRecord, last: PassRecord) -> float | None:
    """By bytes, where they are told: a hiccup of the link is no trend of the guest."""
    if first.pending and last.pending is not None:
        return last.pending / first.pending
    return last.needed_downtime / first.needed_downtime if first.needed_downtime else None


def _to_10_ms(value: timedelta) -> timedelta:
    return timedelta(milliseconds=round(value.total_seconds() * 100) * 10)
