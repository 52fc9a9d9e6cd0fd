"""Blocking calls in threads, each under a deadline."""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_MOST_IDLE = 8
_idle: "deque[_Worker]" = deque()
"""Threads that wait for the next call; one that hangs in a call is not among them."""


class _Worker(threading.Thread):
    """Makes one call after the other. A daemon: the end of the process does not wait for it."""

    def __init__(self) -> None:
        super().__init__(name="call", daemon=True)
        self.calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            self.calls.get()()
            if len(_idle) >= _MOST_IDLE:
                return
            _idle.append(self)


def call_in_worker(call: Callable[[], None]) -> None:
    """Make a call that may block for long, and that nobody waits for; it must not raise."""
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
    worker.calls.put(call)


async def in_thread(function: Callable[[], T], *, deadline: float | None) -> T:
    """The result of a call that may block for long.

    A thread that nobody else waits for: a libvirt call can hang for as long as its host does, and neither other
    calls nor the end of the process may wait for it.

    Args:
        function: What to call.
        deadline: Seconds after which to stop waiting (the call itself goes on); None: as long as it takes.

    Raises:
        TimeoutError: The deadline has passed.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, raised = None, None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - handed to who waits
            raised = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile: nobody waits
            loop.call_soon_threadsafe(settle, result, raised)

    call_in_worker(run)
    async with asyncio.timeout(deadline):
        return await future


class HangingCalls:
    """Calls of which one at a time may hang with what it is about.

    A VM whose QEMU hangs, or a disk whose file system does, would else cost a thread here, and a request there,
    for each time that it is asked again.
    """

    def __init__(self) -> None:
        self._abandoned: dict[str, list[threading.Event]] = {}
        """What nobody waits for any more, by what it is about: several, where they were asked at once."""

    async def call(self, function: Callable[[], T], *, about: str | None, deadline: float | None) -> T:
        """As `in_thread`.

        Args:
            function: What to call.
            about: What it may hang with; None: nothing that others are asked about.
            deadline: Seconds.

        Raises:
            TimeoutError: The deadline has passed, or an earlier call hangs still.
        """
        if about is None:
            return await in_thread(function, deadline=deadline)
        if hanging := [each for each in self._abandoned.pop(about, ()) if not each.is_set()]:
            self._abandoned[about] = hanging
            raise TimeoutError("libvirt has not answered an earlier call yet")
        ended = threading.Event()

        def call() -> T:
            try:
                return function()
            finally:
                ended.set()

        try:
            return await in_thread(call, deadline=deadline)
        finally:
            if not ended.is_set():
                self._abandoned.setdefault(about, []).append(ended)
