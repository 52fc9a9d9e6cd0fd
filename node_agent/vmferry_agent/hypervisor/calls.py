"""Blocking calls in threads, each under a deadline."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[[], T], *, deadline: float | None) -> T:
    """The result of a call that may block for long.

    A thread of its own, and a daemon: a libvirt call can hang for as long as its host does, and neither other
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

    threading.Thread(target=run, name=getattr(function, "__name__", "call"), daemon=True).start()
    async with asyncio.timeout(deadline):
        return await future
