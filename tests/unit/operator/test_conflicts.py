"""A write that meets a change which no watch has told of yet."""

import pytest
from reconciled_migrations import controller_of

from vmferry_api.migrations import VMMigration
from vmferry_kube.errors import ConflictError
from vmferry_kube.keys import ObjectKey
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

    async def refuse(*_, **__):
        raise ConflictError(raw(7, cancel=True))

    async with controller_of(migrations, refuse, monkeypatch) as controller:
        with pytest.raises(ConflictError):
            await controller.reconcile(KEY)
    assert migrations.get(KEY).spec.cancel
