"""A proxy before an API server that remembers what one client asks for; in a thread of its own."""

import asyncio
import ssl
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import yaml
from aiohttp import web

_NOT_PASSED_ON = {
    "connection",
    "accept-encoding",
    "content-length",
    "host",
    "keep-alive",
    "transfer-encoding",
}
_STARTS = 30.0
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """One request."""

    at: float
    """By time.monotonic."""
    method: str
    path: str


class RecordingProxy:
    """Passes on what comes, as the user of a kubeconfig.

    Args:
        kubeconfig: The user's.
        directory: Where the kubeconfig that leads here is written.
    """

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        self._server = config["clusters"][0]["cluster"]["server"]
        self._tls = ssl.create_default_context(
            cafile=config["clusters"][0]["cluster"]["certificate-authority"]
        )
        self._user = config["users"][0]["user"]
        """With a token, which is passed on with each request."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.asked: list[Asked] = []
        self.kubeconfig = directory / "kubeconfig-through-the-proxy"

    def start(self) -> None:
        """Listen, and write the kubeconfig."""
        self._thread.start()
        port = self._run(self._start())
        cluster = {"name": "it", "cluster": {"server": f"http://127.0.0.1:{port}"}}
        named = {"name": "it", "context": {"cluster": "it", "user": "it"}}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [named],
            "clusters": [cluster],
            "users": [{"name": "it", "user": self._user}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))

    def stop(self) -> None:
        """Listen no more."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STARTS)
        self._loop.close()

    def writes(self, *, since: float = 0.0) -> list[Asked]:
        """What was asked for that is more than to read."""
        return [each for each in self.asked if each.method != "GET" and each.at >= since]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_STARTS)

    async def _start(self) -> int:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls, limit=0))
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _stop(self) -> None:
        assert self._runner is not None
        assert self._session is not None
        await self._session.close()
        await self._runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(at=time.monotonic(), method=request.method, path=request.path))
        response = web.StreamResponse()
        try:
            await self._answer(request, response)
        except (
            aiohttp.ClientError,
            ConnectionError,
        ):  # one of the two ends is gone: so is the other one then
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _answer(self, request: web.Request, response: web.StreamResponse) -> None:
        assert self._session is not None
        passed = {
            name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON
        }
        async with self._session.request(
            request.method,
            self._server + request.raw_path,
            headers=passed,
            data=await request.read() or None,
            skip_auto_headers={"Content-Type", "Accept-Encoding"},
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            response.set_status(answer.status)
            response.content_type = answer.content_type
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
