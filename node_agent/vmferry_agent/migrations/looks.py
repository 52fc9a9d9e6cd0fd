"""When to look at a running attempt: at news, soon after each pass, and seldom otherwise."""

import asyncio

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.cadence import Cadence
from vmferry_agent.hypervisor.port import News

_SOON = 0.2
"""Seconds."""


class Looks:
    """Waits for the time of the next look.

    Args:
        changed: Set when what is wanted has changed, or something has ended: that is looked at at once.
        clock: The time.
        every: The seconds between two looks; None: as `Cadence` says.
    """

    def __init__(self, changed: asyncio.Event, *, clock: Clock, every: float | None) -> None:
        self._changed = changed
        self._clock = clock
        self._every = every
        self._only_pass = False
        self._cadence = Cadence(looked_at=clock.monotonic())

    def hear(self, news: News) -> None:
        """Take what the hypervisor tells."""
        if news is News.PASS:
            self._cadence = self._cadence.heard_pass(self._clock.monotonic())
            self._only_pass = self._only_pass or not self._changed.is_set()
        else:
            self._only_pass = False
        self._changed.set()

    def looked(self, now: float) -> None:
        """It was looked at."""
        self._cadence = self._cadence.looked(now)

    @property
    def again_soon(self) -> bool:
        """Whether the next look is one at the same pass, so that one report of both is enough."""
        return self._every is None and self._due - self._clock.monotonic() < _SOON

    async def next(self, delay: float | None = None) -> None:
        """Wait until it is time, or for so many seconds where the last look has failed."""
        due = None if delay is None else self._clock.monotonic() + delay
        while True:
            left = (self._due if due is None else due) - self._clock.monotonic()
            if left <= 0:
                await asyncio.sleep(0)  # others get their turn
                return
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return
            self._changed.clear()
            if not self._only_pass:
                return
            self._only_pass = False

    @property
    def _due(self) -> float:
        return self._cadence.due if self._every is None else self._cadence.looked_at + self._every
