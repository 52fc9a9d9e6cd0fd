"""The figures that people and the operator read, from a sample."""

from datetime import timedelta

from vmferry_agent.hypervisor.port import Sample
from vmferry_api.migrations import Progress
from vmferry_api.quantities import rounded


def progress(
    sample: Sample,
    *,
    elapsed: timedelta,
    max_downtime: timedelta | None,
    before: Progress | None,
    in_post_copy: bool,
) -> Progress:
    """The progress to report; its percentage never falls below that of the report before it."""
    needed = None if in_post_copy or sample.memory_pass <= 1 else sample.expected_downtime
    pending = (
        None
        if needed is None or sample.bandwidth is None
        else round(needed.total_seconds() * sample.bandwidth)
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
        elapsed=timedelta(seconds=round(elapsed.total_seconds())),
    )


def _percent(sample: Sample) -> int:
    """As oVirt's: 100 only when nothing remains."""
    if sample.total == 0 or sample.memory_pass == 0:
        return 0
    if sample.remaining == 0:
        return 100
    return min(99, 100 - 100 * sample.remaining // sample.total)


def _rounded(value: int | None) -> int | None:
    return None if value is None else rounded(value)
