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
        def __init__(self, client, *, manager, tell):
            pass

        async def apply_migration(self, metadata, status):
            meant.put_nowait(metadata.resource_version)
            if metadata.resource_version == "5":
                raise ConflictError(raw(7, cancel=True))
            return raw(8)

    monkeypatch.setattr(agents, "StatusWriter", Writer)
    return meant


def new_agent(hypervisor, **words):
    return agents.Agent(
        "node-b",
        hypervisor=hypervisor,
        addresses=Addresses(connect_uri="b", migration_uri=None),
        client=None,
        traces=Traces(None),
        **words,
    )


async def test_what_is_in_the_way_of_a_write_is_taken_in_though_no_watch_has_told_of_it(writes):
    hypervisor = ScriptedHypervisor()
    hypervisor.domain = None
    agent = new_agent(hypervisor)
    agent._target.seen("ADDED", raw(5))
    async with asyncio.timeout(10):
        assert [await writes.get() for _ in range(2)] == ["5", "7"]
    await agent._target.stop()


class NoLease:
    """One that waits for its first renewal."""

    renewed_at = None

    async def keep(self):
        await asyncio.sleep(3600)


async def test_an_idle_agent_has_two_watches_and_its_lease_and_nothing_else_to_do(monkeypatch):
    begun = []
    monkeypatch.setattr(agents.Watch, "start", lambda self: begun.append(self._field_selector))
    hypervisor = ScriptedHypervisor()
    monkeypatch.setattr(hypervisor, "facts", lambda: pytest.fail("asked without need"))
    monkeypatch.setattr(hypervisor, "find", lambda _vm: pytest.fail("asked without need"))
    agent = new_agent(hypervisor, lease=NoLease())
    agent.start()
    await asyncio.sleep(0.1)
    assert begun == ["spec.sourceNode=node-b", "spec.targetNode=node-b"]
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert {task.get_name() for task in others} == {"keep the Lease"}
    await agent.stop()


async def test_what_died_and_what_was_not_heard_yet_is_told():
    agent = new_agent(ScriptedHypervisor())
    assert agent.dead == ["source: the watch has died", "target: the watch has died"]
    assert [each.partition(":")[0] for each in agent.unheard] == ["source", "target"]


async def test_the_last_report_is_written_before_the_end(writes):
    hypervisor = ScriptedHypervisor()
    hypervisor.domain = None
    agent = new_agent(hypervisor)
    agent._target.seen("ADDED", raw(6))
    await asyncio.sleep(0.1)
    reporter = agent._target._served["u"].reporter
    reporter.put({"target": {"ready": False, "message": "the last"}})
    assert reporter.waiting
    await agent.stop()
    assert not reporter.waiting
