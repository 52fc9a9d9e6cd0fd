"""What can go wrong with a request to the API server, beyond its refusing it (ApiException)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp


class UnavailableError(Exception):
    """The API server can't be reached, or went away before it had answered: it may have done what was asked."""


class NotLeadingError(UnavailableError):
    """Nothing was asked: this process may not write now, since another one may."""

    def __init__(self) -> None:
        super().__init__("this process does not lead, and writes nothing")


class ConflictError(Exception):
    """The object has changed since it was looked at; look again.

    Args:
        found: The object as it is by now.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        metadata = found["metadata"]
        super().__init__(f"{metadata.get('namespace', '')}/{metadata['name']} has changed")
        self.found = found


@contextmanager
def asking() -> Iterator[None]:
    """Around each request: the client lets the errors of what it is built on through.

    Raises:
        UnavailableError: There was no answer, or none to its end.
    """
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnavailableError(f"the API server can't be reached: {said}") from error
