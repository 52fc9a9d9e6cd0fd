"""The downtime that the agent grants by itself: rising exponentially, as in vdsm 3.5 to 4.3."""

from datetime import timedelta

from vmferry_api.policies import DowntimeRamp

_GIB = 2**30
DELAY_PER_GIB = timedelta(seconds=100)
"""Over all steps, for each GiB of the guest's memory (vdsm's migration_downtime_delay from 4.0 on)."""
MAX_INTERVAL = timedelta(seconds=60)


def interval(ramp: DowntimeRamp, memory: int) -> timedelta:
    """The time between two steps for a guest of so many bytes."""
    return min(DELAY_PER_GIB * (memory / _GIB) / ramp.steps, MAX_INTERVAL)


def step_downtime(ramp: DowntimeRamp, step: int) -> timedelta:
    """The downtime of a step from 0 on; linear steps would overshoot early (vdsm's exponential_downtime)."""
    most = round(ramp.max.total_seconds() * 1000)
    offset = most / ramp.steps
    base = (most - offset) ** (1 / (ramp.steps - 1))
    milliseconds = int(offset + base ** min(step, ramp.steps - 1) + 1e-6)
    return timedelta(milliseconds=min(milliseconds, most))


def ramp_downtime(ramp: DowntimeRamp, memory: int, since_first_pass: timedelta | None) -> timedelta:
    """The downtime to grant so long after the first pass has ended (None: it has not)."""
    if since_first_pass is None:
        return step_downtime(ramp, 0)
    return step_downtime(ramp, int(since_first_pass / interval(ramp, memory)))


def reached_after(ramp: DowntimeRamp, memory: int, granted: timedelta) -> timedelta:
    """How long after the first pass the ramp grants so much; for what it never grants: its end."""
    steps = range(ramp.steps)
    step = next((each for each in steps if step_downtime(ramp, each) >= granted), steps[-1])
    return interval(ramp, memory) * step
