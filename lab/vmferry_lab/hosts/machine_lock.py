"""One lab at a time: what is chosen among all that is free on this machine."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from vmferry_lab.errors import LabError
from vmferry_lab.until import until

LOCK_TIMEOUT = 30.0
"""Seconds to wait for others that start at the same time."""


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold off all other labs and hosts of this machine that choose ports or addresses, until those are taken.

    Nobody listens on a port before a migration comes in, so that probing alone would give one port twice.

    Raises:
        LabError: Another holds it for too long.
    """
    directory = os.open(tempfile.gettempdir(), os.O_RDONLY)  # the lock of a directory leaves no file behind
    try:
        until("the other labs that start", lambda: _locked(directory), timeout=LOCK_TIMEOUT)
        yield
    except TimeoutError as error:
        raise LabError(f"{error}; see who holds {tempfile.gettempdir()} (lslocks)") from error
    finally:
        os.close(directory)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
