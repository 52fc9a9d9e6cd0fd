"""The agent of a node with its API server played by the test."""

import asyncio

import pytest
from scripted_hypervisor import UUID, ScriptedHypervisor

from vmferry_agent import agent as agents
from vmferry_agent.migrations.target import Addresses
from vmferry_agent.migrations.traces import Traces
from vmferry_kube.errors import ConflictError


def raw(version, **spec):
    return {
        "metadata": {"name": "m", "namespace": "default", "uid": "u", "resourceVersion": str(version)},
        "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", **spec},
        "status": {"source": {"vm": {"name": "db-1", "uuid": UUID, "state": "Running"}}},
    }


@pytest.fixture
def writes(monkeypatch):
    """The versions for which writes were meant; what has version 5 has changed by then."""
    meant = asyncio.Queue()

    class Writer:
        def __init__(self, client, *, manager):
            pass

        async def apply_migration(self, metadata, status):
            meant.put_nowait(metadata.resource_version)
            if metadata.resource_version == "5":
                raise ConflictError(raw(7, cancel=True))
            return raw(8)

    monkeypatch.setattr(agents, "StatusWriter", Writer)
    return meant


async def test_what_is_in_the_way_of_a_write_is_taken_in_though_no_watch_has_told_of_it(writes):
    hypervisor = ScriptedHypervisor()
    hypervisor.domain = None
    agent = agents.Agent(
        "node-b",
        hypervisor=hypervisor,
        addresses=Addresses(connect_uri="b", migration_uri=None),
        client=None,
        traces=Traces(None),
    )
    agent._target.seen("ADDED", raw(5))
    async with asyncio.timeout(10):
        assert [await writes.get() for _ in range(2)] == ["5", "7"]
    await agent._target.stop()
