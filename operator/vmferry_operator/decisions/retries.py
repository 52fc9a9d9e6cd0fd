"""After a failure: whether it is tried again, and when."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.migrations import Attempt
from vmferry_api.policies import Retry

MOST_BACKOFF = timedelta(hours=1)
JITTER = 0.2
"""Up to this part is added, so that migrations that failed together do not come back together."""


@dataclass(frozen=True, kw_only=True)
class NextTry:
    """Another try."""

    number: int
    of: int
    at: datetime
    """Not before."""


def next_try(retry: Retry | None, failures: int, last: Attempt | None, uid: str) -> NextTry | None:
    """The next try after so many that failed; None: there is none.

    Args:
        retry: The policy's.
        failures: How many tries have failed.
        last: The attempt that was the last one.
        uid: The migration's; the jitter follows from it, so that whoever asks gets the same answer.
    """
    if retry is None or last is None or last.end is None or not 0 < failures < retry.attempts:
        return None
    doubled = min(retry.backoff * 2 ** min(failures - 1, 20), max(retry.backoff, MOST_BACKOFF))
    digest = hashlib.sha256(f"{uid}/{failures}".encode()).digest()
    jitter = 1 + JITTER * int.from_bytes(digest[:4]) / 2**32
    return NextTry(number=failures + 1, of=retry.attempts, at=last.end + doubled * jitter)


def is_last(retry: Retry | None, failures: int) -> bool:
    """Whether the try after so many failures is the last one of several."""
    return retry is not None and 0 < failures == retry.attempts - 1
