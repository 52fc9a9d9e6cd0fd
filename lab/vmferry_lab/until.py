"""Waiting for something to become true."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(what: str, probe: Callable[[], T | None], *, timeout: float, interval: float = 0.05) -> T:
    """The first result of the probe that is true.

    Args:
        what: What is waited for, in words.
        probe: Looks; must not raise.
        timeout: Seconds.
        interval: Seconds between two looks.

    Raises:
        TimeoutError: It did not become true in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain for: {what}")
        time.sleep(interval)
