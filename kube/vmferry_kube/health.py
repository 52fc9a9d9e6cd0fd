"""`/healthz`, `/readyz` and `/metrics`."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

_logger = logging.getLogger(__name__)


class HealthServer:
    """Serves them. It shares the event loop with all the rest: if that does not turn, there is no answer.

    Args:
        dead: Names what should run in this process and does not.
        not_ready: Says what is missing for the process to be of use.
        metrics: Prometheus' text.
    """

    def __init__(
        self,
        *,
        dead: Callable[[], Sequence[str]],
        not_ready: Callable[[], Awaitable[Sequence[str]]],
        metrics: Callable[[], bytes],
    ) -> None:
        self._dead = dead
        self._not_ready = not_ready
        self._metrics = metrics
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metricsz)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, address: str, port: int) -> int:
        """Listen; the port, which the system chooses for 0.

        Raises:
            OSError: The address can't be listened at.
        """
        await self._runner.setup()
        await web.TCPSite(self._runner, address, port).start()
        chosen: int = self._runner.addresses[0][1]
        _logger.info(
            "health and metrics at http://%s:%d", f"[{address}]" if ":" in address else address, chosen
        )
        return chosen

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _verdict(self._dead())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _verdict(await self._not_ready())

    async def _metricsz(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _verdict(troubles: Sequence[str]) -> web.Response:
    if not troubles:
        return web.Response(text="ok\n")
    return web.Response(status=503, text="".join(f"{trouble}\n" for trouble in troubles))
