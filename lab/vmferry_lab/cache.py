"""The lab's part of the user's cache, filled by one process at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]
"""Tells the user how it goes."""


def cache_directory() -> Path:
    """Where it is."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmferry-lab"


@contextmanager
def one_filler(directory: Path, doing: str, say: Say) -> Iterator[None]:
    """A second process waits, and finds all there; the kernel lets go of the lock when its holder dies.

    Args:
        directory: A part of the cache; it is made.
        doing: What another process does there if it is at work, in words.
        say: Tells the user.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process {doing} just now; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
