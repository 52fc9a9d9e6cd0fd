"""Whether a running migration gets on: progress, and stalling.

The measure is the needed downtime (QEMU's expected `downtime`), which is constant within a pass. The bytes that
remain are none: they make a saw-tooth whose troughs are alike for hopeless and for converging guests.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from vmferry_agent.decisions.standstill import MARGIN, MIN_PASSES, Need, Standstill
from vmferry_agent.hypervisor.port import Sample

SAME_BANDWIDTH = 0.1
"""A cap that changes by no more than this part of itself is the same."""
LINK_DELIVERS = 0.8
"""Below this part of the bandwidth granted it is the link that is slow, not the guest that is quick."""


def needed_downtime(sample: Sample) -> timedelta | None:
    """What QEMU expects, unless more than that is left already.

    It reckons anew only some 100 ms after a pass has begun. Until then it tells of the pass before, and in the
    second pass of the limit itself: taken for the best, that would make every guest stall.
    """
    if sample.expected_downtime is None or not sample.bandwidth:
        return sample.expected_downtime
    return max(sample.expected_downtime, timedelta(seconds=sample.remaining / sample.bandwidth))


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """What has been seen of a running attempt. Times are those of a monotonic clock."""

    progress_at: float
    """When it last got on: the needed downtime fell; or more was sent, in post-copy or while a pass may still show
    that it has fallen, however long that pass takes; or more of the disks was copied, which come first."""
    moved_at: float | None = None
    """When the stream was last seen to have carried something; None: nothing was seen yet."""
    best: timedelta | None = None
    """The lowest needed downtime so far, for however short a time."""
    best_pass: int = 0
    standstill: Standstill = field(default_factory=Standstill)
    """For how long the needed downtime has not fallen."""
    last: timedelta | None = None
    """The needed downtime of the last sample."""
    memory_pass: int = 0
    transferred: int = 0
    disk_transferred: int = 0
    bandwidth: int | None = None
    cap: int | None = None
    """The cap in bytes per second with which the best was looked for; None: none is known."""

    def after(self, sample: Sample, *, now: float, in_post_copy: bool = False) -> "Convergence":
        """What has been seen with one more sample."""
        seen = replace(
            self,
            memory_pass=sample.memory_pass,
            transferred=max(sample.transferred, self.transferred),
            disk_transferred=max(sample.disk_transferred, self.disk_transferred),
            bandwidth=sample.bandwidth,
            last=needed_downtime(sample),
        )
        moved = sample.memory_pass > 0 and sample.transferred > self.transferred
        copied = sample.memory_pass == 0 and sample.disk_transferred > self.disk_transferred
        waits = sample.memory_pass == 0 and sample.disk_total == 0
        if moved or copied or waits or self.moved_at is None:
            seen = replace(seen, moved_at=now)
        untold = seen.last is None  # then bytes alone show that it goes on
        if moved and (in_post_copy or untold or sample.memory_pass < self.best_pass + MIN_PASSES):
            seen = replace(seen, progress_at=now)
        if copied:
            seen = replace(seen, progress_at=now)
        if in_post_copy or sample.memory_pass <= 1 or seen.last is None:
            return seen
        needed = max(seen.last, self.last or seen.last)
        need = Need(
            at=now,
            memory_pass=sample.memory_pass,
            downtime=needed,
            alone=seen.last,
            bandwidth=sample.bandwidth,
        )
        seen = replace(seen, standstill=self.standstill.after(need))
        if self.best is not None and needed >= self.best * (1 - MARGIN):
            return seen
        return replace(seen, progress_at=now, best=needed, best_pass=sample.memory_pass)

    def with_bandwidth(self, before: int | None, now: int | None) -> "Convergence":
        """Forget the best if the cap has really changed: the needed downtime is another one then.

        Shares of a node's bandwidth change often and by little; that must not keep stalling from being seen. What
        counts is the change since the best was forgotten last, so that many small ones add up.

        Args:
            before: The cap so far, in bytes per second; None: none, or not known.
            now: The new one; None: none.
        """
        cap = before if self.cap is None else self.cap
        if cap is not None and now is not None and abs(now - cap) <= SAME_BANDWIDTH * cap:
            return replace(self, cap=cap)
        return replace(self, best=None, standstill=Standstill(), cap=now)

    def stalling(self, limit: timedelta, *, now: float) -> bool:
        """Whether the needed downtime has not fallen for so long; never with a limit of zero."""
        return limit > timedelta(0) and self.standstill.lasts(limit, now=now)

    def silent_for(self, now: float) -> timedelta:
        """How long the stream has carried nothing, which no host reports of a link that is cut."""
        return timedelta(seconds=0 if self.moved_at is None else now - self.moved_at)

    def link_is_slow(self, granted: int | None) -> bool:
        """Whether the link carries clearly less than it is allowed to, in bytes per second."""
        carried = self.standstill.bandwidth or self.bandwidth
        return granted is not None and carried is not None and carried < LINK_DELIVERS * granted
