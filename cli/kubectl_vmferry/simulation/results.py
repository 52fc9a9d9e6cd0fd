"""What a simulation tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from vmferry_api.migrations import Desired, StepRecord


class OutcomeName(StrEnum):
    """How a simulated migration ends. Those from ON_TRACE on are of a replayed recording only."""

    SUCCEEDED = "Succeeded"
    """The VM runs on the target."""
    FAILED = "Failed"
    """The migration was given up; the VM runs on its source."""
    UNFINISHED = "Unfinished"
    """The simulated time is over (--until)."""
    NOT_ACCEPTED = "NotAccepted"
    """The operator does not start it with this policy."""
    TRACE_ENDED = "TraceEnded"
    """Nothing was decided that would have changed the recorded course."""
    WOULD_SWITCH_OVER = "WouldSwitchOver"
    """The downtime granted exceeds the one that was needed then: QEMU would have completed."""
    WOULD_ABORT = "WouldAbort"
    WOULD_POST_COPY = "WouldSwitchToPostCopy"
    WOULD_SUSPEND = "WouldSuspend"
    WOULD_RESTART = "WouldRestart"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One decision: a new revision of what is desired."""

    t: float
    """Seconds since the migration was asked for."""
    step: int | None
    """The place in the policy's list, from 1; None: no step, but the planner, or what follows from the course."""
    action: str
    value: str | None
    trigger: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was seen at one look, for the plot."""

    t: float
    needed_downtime: float | None
    """Seconds."""
    max_downtime: float | None
    """Seconds granted."""


@dataclass(frozen=True, kw_only=True)
class Stall:
    """A time in which the agent reported that the migration stalls."""

    start: float
    end: float | None = None
    """None: it did so to the end."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How it ends."""

    t: float
    outcome: OutcomeName
    why: str
    total_time: float | None = None
    """Seconds from the start of the first attempt to the end of the last."""
    downtime: float | None = None
    """Seconds that the guest stood still; None: it did not move."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One policy's simulation."""

    policy: str
    decisions: Sequence[Decided]
    outcome: Outcome
    stalls: Sequence[Stall]
    passes: int
    """Of the last attempt."""
    transferred: int
    """Bytes, over all attempts."""
    course: Sequence[Figures]


def decided(desired: Desired, steps: Sequence[StepRecord], attempt: int, *, t: float) -> Decided:
    """The decision that a new revision stands for.

    Args:
        desired: The revision.
        steps: The audit trail.
        attempt: The attempt that was wanted before.
        t: The time in seconds.
    """
    record = next((step for step in reversed(steps) if step.revision == desired.revision), None)
    if record is None:
        action = "retry" if desired.attempt > attempt else "follow"
        return Decided(t=t, step=None, action=action, value=None, trigger="", why=desired.reason)
    return Decided(
        t=t,
        step=record.step,
        action=record.action.split()[0],
        value=record.value,
        trigger=record.trigger,
        why=desired.reason,
    )


def milliseconds(value: float | None) -> float | None:
    """Seconds to the millisecond, as results tell them."""
    return None if value is None else round(value, 3)


def in_seconds(value: timedelta | None) -> float | None:
    """A duration as results tell it."""
    return None if value is None else milliseconds(value.total_seconds())
