"""The official client, from $KUBECONFIG, ~/.kube/config or the pod's service account."""

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientTimeout
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

REQUEST_TIMEOUT = 15
"""Seconds for one request in all."""
MayWrite = Callable[[], float]
"""Tells for how many seconds a write may take that begins now; raises NotLeadingError where none may."""
_READS = {"GET", "HEAD", "OPTIONS"}


@asynccontextmanager
async def connect(*, may_write: MayWrite | None = None) -> AsyncIterator[ApiClient]:
    """A client for the current context, closed at the end.

    Args:
        may_write: Is asked before each write of this client, whoever makes it; None: all may be made.

    Raises:
        kubernetes.aio.config.ConfigException: There is neither a kubeconfig nor a service account.
    """
    configuration = Configuration()
    try:
        config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
    configuration.connection_pool_maxsize = 16
    async with ApiClient(configuration) as client:
        if may_write is not None:
            guard(client, may_write)
        yield client


def guard(client: ApiClient, may_write: MayWrite) -> None:
    """Have this asked before each write of a client, as the last thing before it is sent."""
    send = client.rest_client.request

    async def request(method: str, url: str, **words: Any) -> Any:  # noqa: ANN401 - the client's
        if method not in _READS:
            seconds = min(words.get("_request_timeout") or REQUEST_TIMEOUT, may_write())
            # exactly: by itself, aiohttp rounds up
            words["_request_timeout"] = ClientTimeout(total=seconds, ceil_threshold=math.inf)
        return await send(method, url, **words)

    client.rest_client.request = request
