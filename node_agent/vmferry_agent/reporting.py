"""Writing status so that the API server is spared: one write in flight, transitions at once, progress seldom."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import chain
from typing import Any

from kubernetes.aio.client import ApiException

from vmferry_kube.backoff import Backoff
from vmferry_kube.errors import ConflictError, UnavailableError

_logger = logging.getLogger(__name__)

Status = Mapping[str, Any]
Write = Callable[[Status], Awaitable[object]]
"""Writes one owner's whole part of the status of an object."""

_PROGRESS = "progress"
_GONE = 404
_CONFLICTS = Backoff(first=0.02, most=0.3)
"""Shorter than for an outage: what was in the way is known by then, and somebody's writing without a pause must
not silence the agent."""


class ObjectGoneError(Exception):
    """The object that was to be written to is not there any more."""


class Reporter:
    """Keeps the latest status of one object and sees to it that it is written.

    A change of anything but progress is written at once, mere progress no oftener than `every`. What can't be
    written is tried again with backoff, for as long as it takes, and only the latest is kept.

    Args:
        name: The object's, for the log.
        write: Writes a status.
        gone: Told once if the object is not there any more.
        every: The least time between two writes of mere progress.
    """

    def __init__(
        self, name: str, write: Write, *, gone: Callable[[], None], every: timedelta = timedelta(seconds=2)
    ) -> None:
        self.every = every
        self._name = name
        self._write = write
        self._tell_gone = gone
        self._latest: Status = {}
        self._written: Status = {}
        self._gone = False
        self._changed = asyncio.Event()
        self._settled = asyncio.Condition()
        self._task = asyncio.create_task(self._run(), name=f"report {name}")

    @property
    def waiting(self) -> bool:
        """Whether more than mere progress is not written yet."""
        return not self._gone and self._urgent()

    @property
    def lives(self) -> bool:
        """Whether it writes still, or has no need to."""
        return self._gone or not self._task.done()

    def put(self, status: Status) -> None:
        """Have this written, in place of whatever has not been written yet."""
        if status != self._latest:
            self._latest = status
            self._changed.set()

    async def flush(self) -> None:
        """Wait until all but mere progress is written.

        Raises:
            ObjectGoneError: It never will be.
        """
        async with self._settled:
            await self._settled.wait_for(lambda: self._gone or not self._urgent())
        if self._gone:
            raise ObjectGoneError(self._name)

    @property
    def settled(self) -> bool:
        """Whether all but mere progress is written."""
        return not self._urgent()

    async def stop(self) -> None:
        """Stop writing."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _urgent(self) -> bool:
        return without_progress(self._latest) != without_progress(self._written)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        written_at = float("-inf")
        while not self._gone:
            await self._changed.wait()
            due = written_at + self.every.total_seconds()
            if not self._urgent() and loop.time() < due:
                await self._wait_until(due)
            self._changed.clear()
            if self._latest != self._written:
                await self._write_latest()
                written_at = loop.time()

    async def _wait_until(self, due: float) -> None:
        """Until then, or until something is urgent."""
        loop = asyncio.get_running_loop()
        while not self._urgent() and (left := due - loop.time()) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _write_latest(self) -> None:
        # after the first conflict at once: what was in the way was read just now
        delays, conflicts = iter(Backoff()), chain([0.0], _CONFLICTS)
        while True:
            status = self._latest
            try:
                await self._write(status)
            except ConflictError:
                _logger.debug("%s: somebody else has just written; again", self._name)
                await asyncio.sleep(next(conflicts))
            except ApiException as error:
                if error.status == _GONE:
                    await self._settle(self._written, gone=True)
                    self._tell_gone()
                    return
                _logger.warning("%s: the API server refused the status: %s", self._name, _one_line(error))
                await asyncio.sleep(next(delays))
            except UnavailableError as error:
                _logger.warning("%s: can't write the status: %s", self._name, error)
                await asyncio.sleep(next(delays))
            except Exception:  # whatever it is, the agent must not fall silent
                _logger.exception("%s: can't write the status", self._name)
                await asyncio.sleep(next(delays))
            else:
                await self._settle(status)
                return

    async def _settle(self, written: Status, *, gone: bool = False) -> None:
        async with self._settled:
            self._written, self._gone = written, gone
            self._settled.notify_all()


def without_progress(status: Status) -> Status:
    """All of a status that is urgent."""
    return {name: value for name, value in status.items() if name != _PROGRESS}


def _one_line(error: ApiException) -> str:
    return f"{error.status} {error.reason}: {' '.join((error.body or '').split())[:500]}"
