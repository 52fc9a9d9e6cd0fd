"""An operator over a real API server lives with an agent that lies, and hears who asked for the migration."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.config import kube_config

from strange_statuses import PROGRESS, SOURCE
from vmferry_api import API_VERSION, FINALIZER, GROUP, VERSION
from vmferry_api.owners import SOURCE_AGENT
from vmferry_lab.controlplane.control_plane import OPERATOR, ControlPlane
from vmferry_lab.fixtures import new_lab
from vmferry_lab.until import until
from vmferry_operator.controller import Controller
from vmferry_operator.metrics import Metrics

PATIENCE = 60.0
PLACE = (GROUP, VERSION, "default", "vmmigrations", "lied-about")
BODY = {
    "apiVersion": API_VERSION,
    "kind": "VMMigration",
    "metadata": {"name": PLACE[-1]},
    "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
}
BEGUN = {
    "source": {**SOURCE, "vm": {**SOURCE["vm"], "memory": "99999999999999P"}},
    "progress": {
        **PROGRESS,
        "remaining": "99999999999999P",
        "bandwidth": 1,
        "recent": [*PROGRESS["recent"], {"pass": 4, "elapsed": "soon", "neededDowntime": "0s"}],
    },
    "attempts": [{"number": 1, "start": "2026-02-30T00:00:00Z", "transferred": -5}],
}
ENDED = {
    "source": {**BEGUN["source"], "afterAttempt": 1},
    "attempts": [
        {
            **BEGUN["attempts"][0],
            "end": "2199-12-31T23:59:59Z",
            "outcome": "Cancelled",
            "error": "x" * 4096,
            "downtime": "999999h999999h99999h",
        }
    ],
}


@pytest.fixture(scope="module")
def control_plane() -> Iterator[ControlPlane]:
    """One of its own, since the operator decides on all that is there."""
    with new_lab() as lab:
        lab.up_control_plane(say=lambda _: None)
        yield lab.control_plane


def objects_of(kubeconfig: object) -> client.CustomObjectsApi:
    return client.CustomObjectsApi(config.new_client_from_config(str(kubeconfig)))


@pytest.fixture
async def measured(control_plane: ControlPlane, connected, monkeypatch) -> AsyncIterator[Metrics]:
    """The metrics of an operator that leads."""
    kubeconfig = control_plane.kubeconfig(OPERATOR)
    # the client that watches log in by reads $KUBECONFIG when it is imported
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    metrics = Metrics()
    controller = Controller(await connected(kubeconfig), measurements=metrics)
    metrics.follow(lambda: controller.state)
    await controller.start()
    await controller.lead()
    yield metrics
    await controller.stop()


async def test_it_decides_counts_and_lets_go(control_plane: ControlPlane, measured: Metrics) -> None:
    user, agent = objects_of(control_plane.kubeconfig()), objects_of(control_plane.agent_kubeconfig("node-a"))
    nodes = client.CoreV1Api(user.api_client)
    for name in ("node-a", "node-b"):
        nodes.create_node({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})

    async def seen(what: str, holds) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            measured.text()
            found = user.get_namespaced_custom_object(*PLACE)
            return found if holds(found) else None

        return await asyncio.to_thread(until, what, look, timeout=PATIENCE)

    def report(told: dict[str, Any]) -> None:
        body = {"apiVersion": API_VERSION, "kind": "VMMigration", "status": told}
        agent.patch_namespaced_custom_object_status(
            *PLACE, body, field_manager=SOURCE_AGENT, force=True, _content_type="application/apply-patch+yaml"
        )

    user.create_namespaced_custom_object(*PLACE[:-1], BODY)
    await seen("its finalizer", lambda each: FINALIZER in each["metadata"].get("finalizers", []))
    report(BEGUN)
    await seen("that it runs", lambda each: each["status"].get("phase") == "Running")
    user.patch_namespaced_custom_object(*PLACE, {"spec": {"cancel": True}})
    await seen("the cancel", lambda each: each["status"].get("reason") == "Cancelling")
    report(ENDED)
    ended = await seen("its end", lambda each: each["status"].get("phase") == "Cancelled")
    (complete,) = [each for each in ended["status"]["conditions"] if each["type"] == "Complete"]
    assert len(complete["message"]) == 4096
    await seen("that it is let go", lambda each: "finalizers" not in each["metadata"])
    text = measured.text().decode()
    assert 'vmferry_operator_migrations{phase="Cancelled",policy="(built-in)"} 1.0' in text
    assert "vmferry_operator_migrations_unreadable 0.0" in text
