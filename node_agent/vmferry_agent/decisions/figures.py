"""The figures that people and the operator read, from a sample."""

from datetime import timedelta

from vmferry_agent.decisions.convergence import needed_downtime
from vmferry_agent.hypervisor.port import Sample
from vmferry_api.durations import whole_milliseconds
from vmferry_api.migrations import DiskProgress, PassRecord, Progress
from vmferry_api.quantities import rounded

_KIB = 2**10
RECENT = 12
"""Passes that are told, the first among them; the schema allows no more."""
WITHIN_PASS = timedelta(seconds=2)
"""So seldom is told how far a pass is: nothing is decided by that, and each report costs the host and the API
server more than a look does."""


def worth_telling(
    sample: Sample, *, elapsed: timedelta, max_downtime: timedelta | None, before: Progress | None
) -> bool:
    """Whether a sample adds to the report before it."""
    return (
        before is None
        or (before.memory_pass, before.max_downtime, before.throttle)
        != (sample.memory_pass, max_downtime, sample.throttle)
        or elapsed - before.elapsed >= WITHIN_PASS
    )


def progress(
    sample: Sample,
    *,
    elapsed: timedelta,
    max_downtime: timedelta | None,
    before: Progress | None,
    in_post_copy: bool,
) -> Progress:
    """The progress to report; its percentage never falls below that of the report before it."""
    needed = None if in_post_copy or sample.memory_pass <= 1 else _needed(sample)
    pending = (
        None if needed is None or sample.bandwidth is None else needed.total_seconds() * sample.bandwidth
    )
    return Progress(
        percent=max(_percent(sample), before.percent if before else 0),
        memory_pass=sample.memory_pass,
        remaining=rounded(sample.remaining),
        pending=None if pending is None else rounded(pending),
        transferred=rounded(sample.transferred),
        total=rounded(sample.total),
        dirty_rate=_rounded(sample.dirty_rate if sample.memory_pass > 1 else None),
        bandwidth=_rounded(sample.bandwidth),
        needed_downtime=needed,
        max_downtime=max_downtime,
        throttle=sample.throttle,
        disk=_disk(sample),
        elapsed=timedelta(seconds=round(elapsed.total_seconds())),
        recent=_recent(sample.memory_pass, needed, pending, elapsed, before),
    )


def _needed(sample: Sample) -> timedelta | None:
    needed = needed_downtime(sample)
    return None if needed is None else whole_milliseconds(needed)


def _recent(
    memory_pass: int,
    needed: timedelta | None,
    pending: float | None,
    elapsed: timedelta,
    before: Progress | None,
) -> list[PassRecord]:
    """The first pass and the last ones, each as its last sample has shown it."""
    recent = before.recent if before else []
    if needed is None:
        return recent
    size = None if pending is None else round(pending / _KIB) * _KIB
    if recent and recent[-1].memory_pass == memory_pass:
        return [*recent[:-1], recent[-1].replace(needed_downtime=needed, pending=size)]
    new = PassRecord(
        memory_pass=memory_pass, elapsed=whole_milliseconds(elapsed), needed_downtime=needed, pending=size
    )
    return [*recent, new] if len(recent) < RECENT else [recent[0], *recent[2:], new]


def _percent(sample: Sample) -> int:
    """As oVirt's: 100 only when nothing remains. Disks come first; all of the memory is then still to come."""
    total = sample.total + sample.disk_total
    memory_left = sample.total if sample.memory_pass == 0 else sample.remaining
    left = memory_left + sample.disk_remaining
    if total == 0 or left > total:
        return 0
    return 100 if left == 0 else min(99, 100 - 100 * left // total)


def _disk(sample: Sample) -> DiskProgress | None:
    if sample.disk_total == 0:
        return None
    return DiskProgress(
        total=rounded(sample.disk_total),
        transferred=rounded(sample.disk_transferred),
        remaining=rounded(sample.disk_remaining),
    )


def _rounded(value: int | None) -> int | None:
    return None if value is None else rounded(value)
