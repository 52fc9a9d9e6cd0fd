"""What work with the API server takes, and how it fails."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from kubernetes.aio.client import ApiException

from vmferry_kube.errors import ConflictError, NotLeadingError, UnavailableError


class Failure(StrEnum):
    """How it failed, in few words, as a label."""

    CONFLICT = "conflict"
    """Somebody else had just written: nothing unusual."""
    NOT_LEADING = "not_leading"
    """It was not tried: another process may write now."""
    UNAVAILABLE = "unavailable"
    """There was no answer."""
    REFUSED = "refused"
    """The API server would not, or the object is gone."""
    UNEXPECTED = "unexpected"
    """Anything else: a defect."""


class Tell(Protocol):
    """Takes what one piece of work took."""

    def __call__(self, *, seconds: float, failure: Failure | None) -> None:
        """Take it.

        Args:
            seconds: What it took.
            failure: How it failed; None: it did not.
        """


def untold(*, seconds: float, failure: Failure | None) -> None:
    """Where nobody counts."""


@contextmanager
def timed(tell: Tell) -> Iterator[None]:
    """Around the work: tell what it took; errors go on to the caller. What is cancelled is no failure."""
    began, failure = time.monotonic(), None
    try:
        yield
    except Exception as error:
        failure = _failure(error)
        raise
    finally:
        tell(seconds=time.monotonic() - began, failure=failure)


def _failure(error: Exception) -> Failure:
    match error:
        case ConflictError():
            return Failure.CONFLICT
        case NotLeadingError():
            return Failure.NOT_LEADING
        case UnavailableError():
            return Failure.UNAVAILABLE
        case ApiException():
            return Failure.REFUSED
        case _:
            return Failure.UNEXPECTED
