"""The official client, from $KUBECONFIG, ~/.kube/config or the pod's service account."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

REQUEST_TIMEOUT = 15
"""Seconds for one request in all."""


@asynccontextmanager
async def connect() -> AsyncIterator[ApiClient]:
    """A client for the current context, closed at the end.

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
        yield client
