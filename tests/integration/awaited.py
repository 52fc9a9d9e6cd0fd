"""Waiting for something to become true while the event loop goes on."""

import asyncio
from collections.abc import Callable

from vmferry_lab.until import until

PATIENCE = 60.0
"""Seconds; generous, because the machine may be slow."""


async def true(what: str, probe: Callable[[], object], timeout: float = PATIENCE) -> None:  # noqa: ASYNC109 - of `until`
    """Wait until it holds; the probe is called in another thread."""
    await asyncio.to_thread(until, what, probe, timeout=timeout)
