"""A write that meets a change which no watch has told of yet."""

from datetime import UTC, datetime

import pytest
from kubernetes.aio.client import ApiClient

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.errors import ConflictError
from vmferry_kube.keys import ObjectKey
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.migration_controller import MigrationController
from vmferry_operator.store import Store

KEY = ObjectKey("default", "m")


def raw(version, **spec):
    return {
        "metadata": {"name": "m", "namespace": "default", "uid": "u", "resourceVersion": str(version)},
        "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", **spec},
    }


async def test_what_was_in_the_way_of_a_write_is_taken_in(monkeypatch):
    migrations = Store(VMMigration, changed=lambda *_: None)
    migrations.take(raw(5))
    async with ApiClient() as client:
        controller = MigrationController(
            client,
            migrations=migrations,
            policies=Store(MigrationPolicy, changed=lambda *_: None),
            list_policies=None,
            cluster=Cluster,
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )

        async def nodes(names):
            return names

        async def refuse(*_, **__):
            raise ConflictError(raw(7, cancel=True))

        monkeypatch.setattr(controller._facts, "existing_nodes", nodes)
        monkeypatch.setattr(controller._finalizers, "set", refuse)
        monkeypatch.setattr(controller._status, "apply_migration", refuse)
        with pytest.raises(ConflictError):
            await controller.reconcile(KEY)
    assert migrations.get(KEY).spec.cancel
