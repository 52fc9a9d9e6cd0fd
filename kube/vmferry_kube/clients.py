"""The official client, from $KUBECONFIG, ~/.kube/config or the pod's service account."""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from aiohttp import ClientTimeout
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

_logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = 15
"""Seconds for one request in all."""
MayWrite = Callable[[], float]
"""Tells for how many seconds a write may take that begins now; raises NotLeadingError where none may."""
_READS = {"GET", "HEAD", "OPTIONS"}
READ_AGAIN = timedelta(minutes=1)
"""After so long credentials are read anew. The kubelet renews a token when a fifth of its hour is left."""


@asynccontextmanager
async def connect(
    *, may_write: MayWrite | None = None, read_again: timedelta = READ_AGAIN
) -> AsyncIterator[ApiClient]:
    """A client for the current context, closed at the end.

    Tokens end, those of pods after an hour; whoever renews them writes a new file. So it is read again and again.

    Args:
        may_write: Is asked before each write of this client, whoever makes it; None: all may be made.
        read_again: So long what was read is good.

    Raises:
        kubernetes.aio.config.ConfigException: There is neither a kubeconfig nor a service account.
    """
    configuration = Configuration()
    await _read(configuration)
    due = time.monotonic() + read_again.total_seconds()

    async def renew(mine: Configuration) -> None:
        """Called before each request."""
        nonlocal due
        if time.monotonic() < due:
            return
        due = time.monotonic() + read_again.total_seconds()
        try:
            await _read(mine)
        except (config.ConfigException, OSError, ValueError) as error:
            _logger.warning("can't read the credentials anew, going on with the old ones: %s", error)

    configuration.refresh_api_key_hook = renew
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


async def _read(configuration: Configuration) -> None:
    try:
        config.load_incluster_config(client_configuration=configuration, try_refresh_token=False)
    except config.ConfigException:
        await config.load_kube_config(client_configuration=configuration)
