"""`/healthz`, `/readyz` and `/metrics`."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from vmferry_agent.hypervisor.port import Hypervisor, HypervisorError

_logger = logging.getLogger(__name__)

LATELY = 10.0
"""Seconds for which an answer of libvirt's holds."""
_PATIENCE = 2.0
"""Seconds that a probe waits for libvirt; who probes waits no longer as a rule."""


class Reachability:
    """Whether libvirt answers. Asked when a probe asks, by one call at a time however many there are.

    Args:
        hypervisor: This host.
        lately: Seconds for which an answer holds.
        patience: Seconds to wait for one.
    """

    def __init__(
        self, hypervisor: Hypervisor, *, lately: float = LATELY, patience: float = _PATIENCE
    ) -> None:
        self._hypervisor = hypervisor
        self._lately = lately
        self._patience = patience
        self._asking: asyncio.Task[None] | None = None
        self._answered_at = float("-inf")
        self._trouble = "libvirt has not answered yet"

    async def trouble(self) -> str | None:
        """What is wrong; None: it has answered lately."""
        if time.monotonic() - self._answered_at < self._lately:
            return None
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="ask libvirt")
        _, waiting = await asyncio.wait({self._asking}, timeout=self._patience)
        if waiting:
            return f"libvirt has not answered for {self._patience:g} s; before: {self._trouble}"
        return None if time.monotonic() - self._answered_at < self._lately else self._trouble

    async def _ask(self) -> None:
        try:
            await self._hypervisor.facts()
        except HypervisorError as error:
            self._trouble = str(error)
        else:
            self._answered_at = time.monotonic()
            self._trouble = "it did"


class HealthServer:
    """Serves them. It shares the event loop with all the rest: if that does not turn, there is no answer.

    Args:
        dead: Names what should run in this process and does not.
        not_ready: Says what is missing for the agent to be of use.
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
