"""A model of QEMU's live migration: passes over the dirty pages until what is left fits in the downtime.

It follows `migration_thread` and `ram_save_pending` of QEMU 7.2 (migration/migration.c, migration/ram.c) in
windows of 100 ms: QEMU sends for as long as more is left than bandwidth x downtime limit, looks for newly dirty
pages only then, and switches over if what it finds fits, too. docs/simulation.md tells how well it predicts and
what it leaves out.
"""

import math
from datetime import timedelta

from kubectl_vmferry.simulation.auto_converge import SyncPeriods
from kubectl_vmferry.simulation.dirty_pages import DirtyPages
from kubectl_vmferry.simulation.guests import Guest, Writer
from kubectl_vmferry.simulation.jobs import JobEnd
from vmferry_agent.decisions.changes import Change, Parameter
from vmferry_agent.hypervisor.port import Sample
from vmferry_api.migrations import MigrationTechnique
from vmferry_api.policies import AutoConverge

QEMU_DOWNTIME = 0.3
"""Seconds that QEMU may stop the guest for unless it is told otherwise (downtime-limit)."""
TARGET_START = 0.35
"""Seconds until the target's QEMU listens and the first pass begins (measured: 0.3 to 0.7 as a rule)."""
SWITCH_OVER = 0.03
"""Seconds that the guest stands still beyond the copy of what is left (measured: 24 to 33 ms)."""
POST_COPY_STOP = 0.1
"""Seconds that the guest stands still at the switch to post-copy (measured: 0.02 to 0.5, median 0.14)."""
ABORT = 1.5
"""Seconds from an abort until libvirt has cleaned up (measured: 1.2 to 1.9)."""
_WINDOW = 0.1
"""Seconds over which QEMU keeps to the bandwidth cap and measures the bandwidth (BUFFER_DELAY)."""
_ITERATION = 0.05
"""Seconds that QEMU sends for at most before it looks again (MAX_WAIT in ram.c)."""
_SYNC_PER_BYTE = 0.073 / (256 * 2**30)
"""Seconds: 73 ms for a guest of 256 GiB (C. Xu, qemu-devel, December 2025; less since that patch)."""
_LEAST_STEP = 0.001


class ModelJob:
    """One migration in the model.

    Args:
        guest: The guest.
        link: What the network carries, in bytes per second.
        auto_converge: As it was started; None: without.
        max_downtime: Seconds that QEMU may stop the guest for.
        bandwidth: The cap of pre-copy in bytes per second; None: no cap.
        post_copy_bandwidth: That of post-copy.
        now: When it is started, in seconds.
        target_start: Seconds until the first pass begins.
    """

    def __init__(
        self,
        guest: Guest,
        *,
        link: float,
        auto_converge: AutoConverge | None = None,
        max_downtime: float = QEMU_DOWNTIME,
        bandwidth: float | None = None,
        post_copy_bandwidth: float | None = None,
        now: float = 0.0,
        target_start: float = TARGET_START,
    ) -> None:
        self.end: JobEnd | None = None
        self.in_post_copy = False
        self.throttled = 0.0
        """Seconds of the guest's time that auto-converge has taken."""
        self._guest = guest
        self._link = link
        self._max_downtime = max_downtime
        self._cap = bandwidth
        self._post_copy_cap = post_copy_bandwidth
        self._auto_converges = auto_converge is not None
        self._started = now
        self._now = now + target_start
        self._pages = DirtyPages(guest.memory, guest.touched)
        self._writer = Writer(guest)
        self._periods = SyncPeriods(auto_converge, now=self._now)
        self._pass = 0
        self._sent = 0.0
        self._bandwidth: float | None = None
        self._pending = float(guest.memory)
        self._expected_downtime = max_downtime
        self._post_copy_wanted = False
        self._suspended_at: float | None = None
        self._stopped = 0.0

    def run_until(self, moment: float) -> None:
        """Let it go on, in whole windows: what is set takes effect in the next one."""
        while self.end is None and self._now + _WINDOW <= moment:
            self._pass = max(1, self._pass)
            alike = min(self._windows_alike(), math.floor((moment - self._now) / _WINDOW + 1e-9))
            if alike > 1:
                self._send_windows(alike)
            elif self.in_post_copy:
                self._post_copy_window()
            else:
                self._pre_copy_window()

    def sample(self) -> Sample:
        """What libvirt's job statistics would say."""
        if self._pass == 0:
            return _NOTHING_YET
        return Sample(
            elapsed=timedelta(seconds=self._now - self._started),
            memory_pass=self._pass,
            remaining=round(self._pages.remaining),
            transferred=round(self._sent),
            total=self._guest.memory,
            bandwidth=None if self._bandwidth is None else round(self._bandwidth),
            dirty_rate=round(self._periods.dirty_rate),
            expected_downtime=timedelta(milliseconds=round(self._expected_downtime * 1000)),
            throttle=self._periods.throttle if self._auto_converges else None,
        )

    def set(self, change: Change) -> None:
        """Set one parameter in flight."""
        match change.parameter, change.value:
            case Parameter.MAX_DOWNTIME, timedelta() as downtime:
                self._max_downtime = downtime.total_seconds()
            case Parameter.BANDWIDTH, int() | None as bandwidth:
                self._cap = bandwidth
            case Parameter.POST_COPY_BANDWIDTH, int() | None as bandwidth:
                self._post_copy_cap = bandwidth
            case Parameter.SUSPEND, True:
                self._suspended_at = self._now if self._suspended_at is None else self._suspended_at
            case Parameter.TECHNIQUE, MigrationTechnique.POST_COPY:
                self._post_copy_wanted = True

    def abort(self) -> None:
        """Give it up; the guest runs on where it is."""
        if self.end is None and not self.in_post_copy:
            self.end = JobEnd(time=self._now + ABORT, moved=False)

    def _windows_alike(self) -> int:
        """How many windows will do nothing but send at the full rate, and so can be gone through at once."""
        kept = 0.0
        if not self.in_post_copy:
            if self._post_copy_wanted or self._bandwidth is None:
                return 0
            kept = self._bandwidth * self._max_downtime
        return math.floor((self._pages.on_the_wire - kept) / (self._rate * _WINDOW)) - 1

    def _send_windows(self, count: int) -> None:
        seconds = count * _WINDOW
        self._sent += self._pages.send(self._rate * seconds)
        if self.in_post_copy:
            self._now += seconds
            return
        self._go_on(seconds)
        self._measure(self._rate * seconds, seconds)

    @property
    def _rate(self) -> float:
        """What goes over the network, in bytes per second."""
        cap = self._post_copy_cap if self.in_post_copy else self._cap
        return self._link if cap is None else min(self._link, cap)

    def _pre_copy_window(self) -> None:
        began, sent_before = self._now, self._sent
        budget = math.inf if self._cap is None else self._cap * _WINDOW
        while (left := began + _WINDOW - self._now) > _LEAST_STEP / 2 and budget >= 1:
            if self._post_copy_wanted:
                self._switch_to_post_copy()
                return
            if self._fits() and self._sync_and_fits():
                self._switch_over()
                return
            sent = self._pages.send(min(budget, self._link * min(left, _ITERATION)))
            budget -= sent
            self._sent += sent
            self._go_on(max(sent / self._link, _LEAST_STEP))
        self._go_on(max(0.0, began + _WINDOW - self._now))
        self._measure(self._sent - sent_before, self._now - began)

    def _fits(self) -> bool:
        """Whether what is left seems to fit in the downtime."""
        if self._pages.remaining == 0:
            return True
        return self._bandwidth is not None and self._pages.remaining < self._bandwidth * self._max_downtime

    def _sync_and_fits(self) -> bool:
        """Begin the next pass; whether what it is about fits, too."""
        self._go_on(_SYNC_PER_BYTE * self._guest.memory)
        self._periods.sync(self._writer.sync(self._pages), self._sent, now=self._now)
        self._pass += 1
        self._pending = self._pages.remaining
        return self._fits()

    def _measure(self, sent: float, seconds: float) -> None:
        """As QEMU does at the end of a window; it expects no downtime before it knows a dirty rate."""
        self._bandwidth = sent / seconds
        if self._periods.dirty_rate > 0 and sent > 0:
            self._expected_downtime = self._pending / self._bandwidth

    def _go_on(self, seconds: float) -> None:
        """Let time pass, and the guest write."""
        self._now += seconds
        if self._suspended_at is None:
            self._writer.run(seconds, self._periods.throttle)
            self.throttled += self._guest.lost_to(self._periods.throttle) * seconds

    def _switch_over(self) -> None:
        """The last copy, for which the cap does not hold."""
        self._writer.sync(self._pages)
        copy = self._pages.remaining / self._link + SWITCH_OVER
        self._sent += self._pages.remaining
        self._finish(self._now + copy, copy)

    def _switch_to_post_copy(self) -> None:
        self._writer.sync(self._pages)
        self._pass += 1
        self.in_post_copy = True
        self._now += POST_COPY_STOP
        self._stopped = POST_COPY_STOP
        if self._suspended_at is not None:
            self._stopped = self._now - self._suspended_at

    def _post_copy_window(self) -> None:
        rate = self._rate
        sent = self._pages.send(rate * _WINDOW)
        self._sent += sent
        self._now += sent / rate if self._pages.remaining == 0 else _WINDOW
        self._bandwidth = rate
        if self._pages.remaining == 0:
            self.end = JobEnd(time=self._now, moved=True, downtime=self._stopped)

    def _finish(self, time: float, stopped: float) -> None:
        if self._suspended_at is not None:
            stopped = time - self._suspended_at
        self.end = JobEnd(time=time, moved=True, downtime=stopped)


_NOTHING_YET = Sample(
    elapsed=timedelta(0),
    memory_pass=0,
    remaining=0,
    transferred=0,
    total=0,
    bandwidth=None,
    dirty_rate=None,
    expected_downtime=None,
    throttle=None,
)
