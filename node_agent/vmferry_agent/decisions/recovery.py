"""What to do about a post-copy whose memory does not flow.

Measured on cut links (libvirt 9.0, QEMU 7.2): a cut that closes no socket is noticed by nobody but by who counts
bytes, and TCP carries on by itself once the link is back; libvirt's daemons can lose each other while their QEMUs
go on; and POSTCOPY_RESUME is refused for as long as one of the two QEMUs holds its stream, which means: not yet.
"""

import hashlib
from datetime import datetime, timedelta
from enum import Enum, auto

from vmferry_api.migrations import Recovery
from vmferry_api.policies import PostCopyRecovery

SILENT = timedelta(seconds=5)
"""A stream that has carried nothing for so long is interrupted, whatever the hosts say."""
SHOWS = timedelta(seconds=1.5)
"""So long after libvirt calls a post-copy failed it shows whether memory flows all the same."""
LONGEST_BACKOFF = timedelta(minutes=1)
NOT_YET = timedelta(seconds=3)
"""Between two questions while a QEMU still holds its stream; they count as no try."""
_JITTER = 0.2


class Flow(Enum):
    """How a post-copy goes, in the opinion of libvirt and by the bytes that flow."""

    FLOWS = auto()
    APART = auto()
    """libvirt's daemons have lost each other, and memory flows all the same."""
    SILENT = auto()
    """Nobody has noticed, but nothing flows."""
    BROKEN = auto()
    """libvirt says that it failed, and nothing flows."""


class Step(Enum):
    """What to do."""

    WAIT = auto()
    BREAK = auto()
    """End this side's stream, too: the other side's is dead already, so that it can be taken up anew."""
    RESUME = auto()
    GIVE_UP = auto()
    """Leave it as it is: the tries are used up."""


def flow(*, failed: bool, silent_for: timedelta, moved_since_failure: bool) -> Flow:
    """How it goes.

    Args:
        failed: libvirt says that post-copy has failed.
        silent_for: How long the stream's counters have stood still.
        moved_since_failure: They have moved since libvirt says so.
    """
    if failed:
        return Flow.APART if moved_since_failure and silent_for < SILENT else Flow.BROKEN
    return Flow.SILENT if silent_for >= SILENT else Flow.FLOWS


def next_step(
    how: Flow,
    recovery: Recovery,
    wanted: PostCopyRecovery,
    *,
    now: datetime,
    asked_at: datetime | None,
    target_failed: bool,
    calling: bool,
    seed: str,
) -> Step:
    """What to do about it now.

    Args:
        how: How it goes.
        recovery: What was done about it so far.
        wanted: What the policy says.
        now: The time.
        asked_at: When it was last found that a QEMU still holds its stream.
        target_failed: The target says that its half has failed.
        calling: A call that drives the migration has not returned yet.
        seed: What sets this migration apart from others that fail at the same moment.
    """
    if how is Flow.SILENT:
        return Step.BREAK if target_failed else Step.WAIT
    if how is not Flow.BROKEN or calling:
        return Step.WAIT
    if recovery.tries >= wanted.attempts:
        return Step.GIVE_UP
    if asked_at is not None and now < asked_at + NOT_YET:
        return Step.WAIT
    if recovery.last_try is not None and now < recovery.last_try + backoff(wanted, recovery.tries, seed):
        return Step.WAIT
    return Step.RESUME


def stood_still(recovery: Recovery, until: datetime) -> timedelta:
    """How long nothing has flowed in an interruption that ends then, since it began or began again."""
    return max(timedelta(0), until - (recovery.again or recovery.since))


def backoff(wanted: PostCopyRecovery, tries: int, seed: str) -> timedelta:
    """The wait after so many tries: doubled each time, up to a minute, less up to a fifth."""
    if tries == 0:
        return timedelta(0)
    most = max(LONGEST_BACKOFF, wanted.backoff)
    full: timedelta = min(wanted.backoff * 2 ** min(tries - 1, 16), most)
    digest = hashlib.sha256(f"{seed}/{tries}".encode()).digest()
    part: float = 1 - _JITTER * digest[0] / 255
    return full * part
