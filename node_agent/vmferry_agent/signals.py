"""The end of the process: asked for by a signal, and certain."""

import asyncio
import logging
import os
import signal
import sys
from typing import NoReturn

_logger = logging.getLogger(__name__)


class Signals:
    """Waits for SIGTERM or SIGINT. A second one ends the process at once, whatever it is doing."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled, number)

    async def wait(self) -> None:
        """Until the first."""
        await self._asked.wait()

    def _signalled(self, number: signal.Signals) -> None:
        if self._asked.is_set():
            _logger.warning("told so twice: leaving at once")
            leave(128 + number)
        self._asked.set()


def leave(code: int) -> NoReturn:
    """End the process without waiting for any thread: one can be in a call of libvirt's that hangs for long."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
