"""A work queue of keys, after client-go's: coalescing, delayed, with backoff."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from vmferry_kube.backoff import Backoff
from vmferry_kube.errors import ConflictError, NotLeadingError
from vmferry_kube.measuring import Tell, timed, untold

Key = TypeVar("Key")

_logger = logging.getLogger(__name__)


@dataclass
class _Entry:
    task: asyncio.Task[None] | None = None
    again: bool = False
    forgotten: bool = False
    timer: asyncio.TimerHandle | None = None
    delays: Iterator[float] = field(default_factory=lambda: iter(Backoff()))

    def cancel_timer(self) -> None:
        """Do not come back by itself."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class WorkQueue(Generic[Key]):
    """Reconciles each key that is added, one call at a time per key.

    A key added while it is reconciled is reconciled once more afterwards, however often it was added. What the
    call returns is when to look at the key again. A call that raises is tried again with backoff; if it has met a
    conflict without much ado, since others write to the same objects.

    Args:
        reconcile: The work; returns the delay after which to do it again, or None.
        concurrency: How many keys at once.
        tell: Takes what each call took, and how it failed.
    """

    def __init__(
        self,
        reconcile: Callable[[Key], Awaitable[timedelta | None]],
        *,
        concurrency: int = 16,
        tell: Tell = untold,
    ) -> None:
        self._reconcile = reconcile
        self._tell = tell
        self._slots = asyncio.Semaphore(concurrency)
        self._entries: dict[Key, _Entry] = {}

    @property
    def length(self) -> int:
        """How many keys are worked on, or wait for that."""
        return sum(entry.task is not None for entry in self._entries.values())

    def add(self, key: Key) -> None:
        """Reconcile the key soon."""
        entry = self._entries.setdefault(key, _Entry())
        entry.forgotten = False
        entry.cancel_timer()
        if entry.task is not None:
            entry.again = True
            return
        entry.task = asyncio.create_task(self._work(key, entry), name=f"reconcile {key}")

    def forget(self, key: Key) -> None:
        """Drop what is due for the key; a running call ends, and until then it is the only one."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.cancel_timer()
        if entry.task is None:
            del self._entries[key]
        else:
            entry.again, entry.forgotten = False, True

    async def stop(self, *, grace: float = 0.0) -> None:
        """Drop what is due and wait until all calls have ended; then keys may be added anew.

        Args:
            grace: Seconds that calls have to end by themselves; then they are cancelled.
        """
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for key in list(self._entries):
            self.forget(key)
        if tasks and grace:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._entries.clear()  # those that were cancelled have not taken leave

    async def _work(self, key: Key, entry: _Entry) -> None:
        async with self._slots:
            delay: float | None
            try:
                with timed(self._tell):
                    after = await self._reconcile(key)
                delay = None if after is None else max(0.0, after.total_seconds())
                entry.delays = iter(Backoff())
            except Exception as error:
                delay = next(entry.delays)
                level = (
                    logging.DEBUG if isinstance(error, (ConflictError, NotLeadingError)) else logging.WARNING
                )
                _logger.log(level, "%s: %s; again in %.1f s", key, _one_line(error), delay)
                _logger.debug("%s", key, exc_info=error)
        entry.task = None
        if entry.again:
            entry.again = False
            self.add(key)
        elif delay is not None and not entry.forgotten:
            entry.timer = asyncio.get_running_loop().call_later(delay, self.add, key)
        else:
            del self._entries[key]


def _one_line(error: Exception) -> str:
    """For an answer of the API server: what it said, without the headers."""
    text = getattr(error, "body", None) or str(error)
    return f"{type(error).__name__}: {' '.join(text.split())[:500]}"
