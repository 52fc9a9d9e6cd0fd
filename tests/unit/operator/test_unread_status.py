"""A migration whose orders a newer version has written, in words that this operator does not know."""

import pytest
from reconciled_migrations import controller_of

from vmferry_api import FINALIZER
from vmferry_api.migrations import VMMigration
from vmferry_kube.keys import ObjectKey
from vmferry_operator.store import Store

KEY = ObjectKey("default", "m")
PENDING = {"observedGeneration": 1, "phase": "Pending"}
RUNS = {
    "observedGeneration": 1,
    "phase": "Running",
    "desired": {"revision": 9, "state": "Migrate", "attempt": 1, "technique": "Teleport"},
    "attempts": [{"number": 1, "start": "2026-01-01T00:00:00Z"}],
}


def raw(version, status, *, deleted=False, **spec):
    metadata = {"name": "m", "namespace": "default", "uid": "u", "generation": 1, "finalizers": [FINALIZER]}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return {
        "metadata": {**metadata, "resourceVersion": str(version)},
        "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", **spec},
        "status": status,
    }


@pytest.mark.parametrize(
    "then",
    [
        pytest.param(raw(7, RUNS), id="goes on"),
        pytest.param(raw(7, RUNS, cancel=True), id="cancelled"),
        pytest.param(raw(7, RUNS, deleted=True), id="deleted"),
    ],
)
async def test_nothing_is_written_by_a_status_from_before(monkeypatch, then):
    """It would put old orders in the place of newer ones, or let go of a VM that is under way."""
    migrations = Store(VMMigration, changed=lambda *_: None)
    migrations.take(raw(5, PENDING))
    migrations.take(then)
    written = []

    async def write(*arguments, **_):
        written.append(arguments)
        return then

    async with controller_of(migrations, write, monkeypatch) as controller:
        await controller.reconcile(KEY)
    assert written == []
