"""What writes to the API server take, and how they fail."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from kubernetes.aio.client import ApiException

from vmferry_kube.errors import ConflictError, UnavailableError

CONFLICT = "conflict"
UNAVAILABLE = "unavailable"
REFUSED = "refused"


class TakesWrite(Protocol):
    """Is told of each write that has ended."""

    def __call__(self, *, seconds: float, failure: str | None) -> None:
        """Take one.

        Args:
            seconds: What it took.
            failure: conflict, unavailable or refused; None: it was written.
        """


@contextmanager
def timed_write(tell: TakesWrite) -> Iterator[None]:
    """Around a write: tell what it took; its errors go on to the caller."""
    began, failure = time.monotonic(), None
    try:
        yield
    except ConflictError:
        failure = CONFLICT
        raise
    except UnavailableError:
        failure = UNAVAILABLE
        raise
    except ApiException:
        failure = REFUSED
        raise
    finally:
        tell(seconds=time.monotonic() - began, failure=failure)
