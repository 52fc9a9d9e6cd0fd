"""A real API server, and what it says to objects."""

import gc
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.aio import config as aio_config
from kubernetes.aio.client import ApiClient, Configuration

from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_lab.controlplane.control_plane import OPERATOR, ControlPlane

PLURALS = {"MigrationPolicy": "migrationpolicies", "VMMigration": "vmmigrations"}


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Iterator[client.CustomObjectsApi]:
    """The API server, as its administrator."""
    connection = config.new_client_from_config(str(control_plane.kubeconfig()))
    yield client.CustomObjectsApi(connection)
    connection.close()


@pytest.fixture(scope="session")
def operator_api(control_plane: ControlPlane) -> Iterator[client.CustomObjectsApi]:
    """The API server, as the operator, who alone writes its part of a status."""
    connection = config.new_client_from_config(str(control_plane.kubeconfig(OPERATOR)))
    yield client.CustomObjectsApi(connection)
    connection.close()


@pytest.fixture
def leases(control_plane: ControlPlane) -> Iterator[client.CoordinationV1Api]:
    """The Leases in the API server, as its administrator."""
    connection = config.new_client_from_config(str(control_plane.kubeconfig()))
    yield client.CoordinationV1Api(connection)
    connection.close()


@pytest.fixture
async def connected() -> AsyncIterator[Callable[[Path], Awaitable[ApiClient]]]:
    """Connects whoever has a kubeconfig, for the time of the test."""
    async with AsyncExitStack() as stack:

        async def connect(kubeconfig: Path) -> ApiClient:
            configuration = Configuration()
            await aio_config.load_kube_config(str(kubeconfig), client_configuration=configuration)
            return await stack.enter_async_context(ApiClient(configuration))

        yield connect


@pytest.fixture
def leaks_nothing() -> Iterator[None]:
    """What a test leaves open fails the test itself, and not the one in which the garbage is collected."""
    yield
    gc.collect()


@pytest.fixture
def refusals(api: client.CustomObjectsApi) -> Callable[[str, dict[str, Any]], str]:
    """What the API server has against a kind and spec, applied strictly; empty: nothing."""

    def dry_run(kind: str, spec: dict[str, Any]) -> str:
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "dry-run"}, "spec": spec}
        options = {"dry_run": "All", "field_validation": "Strict"}
        try:
            if kind == "MigrationPolicy":
                api.create_cluster_custom_object(GROUP, VERSION, PLURALS[kind], body, **options)
            else:
                api.create_namespaced_custom_object(GROUP, VERSION, "default", PLURALS[kind], body, **options)
        except client.ApiException as error:
            said: str = json.loads(error.body)["message"]
            return said
        return ""

    return dry_run


@pytest.fixture
def migration(api: client.CustomObjectsApi) -> Iterator[dict[str, Any]]:
    """A VMMigration in the API server, that no operator and no agent looks at."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "VMMigration",
        "metadata": {"generateName": "m-"},
        "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", "ttlAfterFinished": "1h"},
    }
    created = api.create_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", body)
    yield created
    api.delete_namespaced_custom_object(
        GROUP, VERSION, "default", "vmmigrations", created["metadata"]["name"]
    )
