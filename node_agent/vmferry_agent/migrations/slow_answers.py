"""That libvirt hangs is told before the deadline of the call that waits for it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from vmferry_api.durations import format_duration

SLOW = timedelta(seconds=6)
"""So long an answer may take; before the operator calls this agent silent, it says what it waits for itself."""


@contextmanager
def told_if_slow(tell: Callable[[str], None]) -> Iterator[None]:
    """Around questions to libvirt: have it told, once, that they are not answered yet; they are waited for on."""
    words = f"it has not answered for {format_duration(SLOW)}, and is waited for"
    timer = asyncio.get_running_loop().call_later(SLOW.total_seconds(), tell, words)
    try:
        yield
    finally:
        timer.cancel()
