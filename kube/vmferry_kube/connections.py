"""Connections to the API server that have ended when their session has.

aiohttp waits for those alone that it holds when it is closed. One that was closed just before, as kopf closes its
streams, is still ending its TLS then, and would outlive the event loop.
"""

import asyncio
import ssl
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from typing_extensions import override

GRACE = 1.0
"""Seconds for the server to end TLS, too; one that is away or hangs never does."""


class ClosingConnector(aiohttp.TCPConnector):
    """As many connections as are asked for; it is closed when they are.

    Args:
        tls: How they are encrypted, and whose they may be.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(limit=0, ssl=tls)
        self._opened: WeakSet[asyncio.Transport] = WeakSet()

    @override
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        if connection.transport is not None:
            self._opened.add(connection.transport)
        return connection

    @override
    async def close(self, *, abort_ssl: bool = False) -> None:
        opened = list(self._opened)
        ends = [end for each in opened if (end := _end(each)) is not None]
        late = asyncio.get_running_loop().call_later(GRACE, _abort, opened)
        await super().close(abort_ssl=abort_ssl)
        await asyncio.gather(*ends, return_exceptions=True)
        late.cancel()


def _end(transport: asyncio.Transport) -> asyncio.Future[None] | None:
    """What is done once it is closed; None: it is."""
    protocol = transport.get_protocol()
    return protocol.closed if isinstance(protocol, ResponseHandler) else None


def _abort(transports: list[asyncio.Transport]) -> None:
    for each in transports:
        each.abort()
