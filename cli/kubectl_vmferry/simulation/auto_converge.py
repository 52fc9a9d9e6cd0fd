"""What QEMU works out at a sync, at most once a second: the dirty rate, and auto-converge's throttle."""

from vmferry_api.policies import AutoConverge

_PERIOD = 1.0
"""Seconds (migration_bitmap_sync in QEMU's migration/ram.c)."""
_TRIGGER = 0.5
"""Of the bytes sent: so many newly dirty ones make a period a bad one (throttle-trigger-threshold)."""
_BAD_PERIODS = 2
"""So many, not necessarily in a row, raise the throttle (dirty_rate_high_cnt)."""
_MOST = 99
"""Percent (max-cpu-throttle)."""


class SyncPeriods:
    """The dirty rate and the throttle.

    Args:
        options: Auto-converge's; None: the guest is never slowed.
        now: When the migration's first pass begins, in seconds.
    """

    def __init__(self, options: AutoConverge | None, *, now: float) -> None:
        self.dirty_rate = 0.0
        """Bytes per second newly dirty in the last period; it can't exceed what is sent, which hides the rest."""
        self.throttle = 0
        """Percent of the time that the guest's processors are kept from running."""
        self._options = options
        self._began = now
        self._dirtied = 0.0
        self._sent_before = 0.0
        self._bad = 0

    def sync(self, dirtied: float, sent: float, *, now: float) -> None:
        """Take note of a sync.

        Args:
            dirtied: Bytes that it found newly dirty.
            sent: Bytes sent since the migration began.
            now: The time in seconds.
        """
        self._dirtied += dirtied
        if now - self._began <= _PERIOD:
            return
        self.dirty_rate = self._dirtied / (now - self._began)
        if self._options is not None and self._dirtied > _TRIGGER * (sent - self._sent_before):
            self._slow_down(self._options)
        self._began, self._dirtied, self._sent_before = now, 0.0, sent

    def _slow_down(self, options: AutoConverge) -> None:
        self._bad += 1
        if self._bad < _BAD_PERIODS:
            return
        self._bad = 0
        self.throttle = min(_MOST, self.throttle + options.increment) if self.throttle else options.initial
