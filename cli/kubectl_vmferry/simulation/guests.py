"""A guest as the model sees it: its memory, and how it writes to it."""

import math
from dataclasses import dataclass
from enum import StrEnum

from kubectl_vmferry.simulation.dirty_pages import DirtyPages

_TIMESLICE = 0.01
"""Seconds that a throttled processor runs before it is put to sleep (QEMU's CPU_THROTTLE_TIMESLICE_NS)."""


class Pattern(StrEnum):
    """In which order the pages of the working set are written."""

    SEQUENTIAL = "sequential"
    """One after the other, round and round."""
    RANDOM = "random"
    """Any at any time; some twice, so that fewer are dirty after a while than were written."""


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What a guest is, and what it does as long as nobody slows it.

    Raises:
        ValueError: It can't be.
    """

    memory: int
    """Bytes."""
    dirty_rate: float
    """Bytes of pages written per second."""
    working_set: int
    """Bytes that are written over and over; they come first in memory."""
    used: int | None = None
    """Bytes that hold more than zeros, the working set among them; None: all of the memory."""
    pattern: Pattern = Pattern.SEQUENTIAL
    phase: float = 1 / 3
    """Where in its working set a sequential writer is when the migration starts, from 0 to 1. It decides how much
    of what one pass leaves over is written again meanwhile: a guest near the edge can take 14 s or 20 s by it."""
    tick: float | None = None
    """Seconds between two bursts of writes of a guest that does nothing in between, as the lab's; None: it writes
    as fast as its processors let it."""
    vcpus: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.touched <= self.memory:
            raise ValueError("the used memory must be more than nothing, and no more than the guest's")
        if self.working_set > self.touched:
            raise ValueError("the working set must fit in the memory that is used")
        if self.dirty_rate > 0 and self.working_set == 0:
            raise ValueError("a guest that writes needs a working set to write to")

    @property
    def touched(self) -> int:
        """Bytes that hold more than zeros."""
        return self.memory if self.used is None else self.used

    def lost_to(self, throttle: int) -> float:
        """The part of its writes that auto-converge keeps it from, at so many percent.

        A throttled processor runs for 10 ms and sleeps for 10 ms x p / (1 - p). Who always has something to do
        loses p. Who wakes at ticks loses only those that fall into one sleep, but for one: that is caught up.
        """
        part = throttle / 100
        if self.tick is None:
            return part
        period = _TIMESLICE / (1 - part)
        return max(0.0, (part * period - self.tick) / period)


class Writer:
    """What a guest has written since QEMU last asked."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._place = guest.phase * guest.working_set
        self._written = 0.0

    def run(self, seconds: float, throttle: int) -> None:
        """Let it write for so long."""
        self._written += self._guest.dirty_rate * (1 - self._guest.lost_to(throttle)) * seconds

    def sync(self, pages: DirtyPages) -> float:
        """Mark what was written in QEMU's bitmap; returns the bytes that are dirty now and were not before."""
        guest, written, self._written = self._guest, self._written, 0.0
        if written == 0:
            return 0.0
        if guest.pattern == Pattern.RANDOM:
            return pages.mark(0, guest.working_set, 1 - math.exp(-written / guest.working_set))
        start, length = self._place, min(written, guest.working_set)
        self._place = (start + written) % guest.working_set
        to_the_end = min(length, guest.working_set - start)
        return pages.mark(start, to_the_end) + pages.mark(0, length - to_the_end)
