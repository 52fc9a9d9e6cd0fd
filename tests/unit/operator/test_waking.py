"""Who is looked at again as others come and go."""

import asyncio
from datetime import timedelta

import pytest
from kubernetes.aio.client import ApiClient
from migrations_in_words import NOW, after, first_desired, policy, running, source, target

from vmferry_api.migrations import AppliedPolicy, Phase, Queue, VMMigrationStatus
from vmferry_operator.controller import Controller
from vmferry_operator.measurements import Measurements

MI = 2**20
SHARED = policy("p", bandwidth={"perNode": "90Mi"}, concurrency={"outgoingPerNode": 2, "perCluster": 9})
DESIRED = first_desired(SHARED.spec)
BY = AppliedPolicy(name="p")


def runs(*, share=90, phase=Phase.RUNNING):
    return running(desired=DESIRED.replace(share=share * MI), phase=phase, policy=BY)


def waits(place):
    return VMMigrationStatus(
        source=source(),
        target=target(),
        phase=Phase.PENDING,
        policy=BY,
        queue=Queue(position=place, since=NOW, waiting_for="outgoingPerNode"),
    )


class Cluster:
    """A controller, and the names of those that it was told to look at; nothing is ever reconciled."""

    def __init__(self, client, monkeypatch, **more):
        self.controller = Controller(client, now=lambda: after(60), **more)
        self.controller._leads = True
        self.woken = set()
        self._version = 0
        monkeypatch.setattr(self.controller._migration_queue, "add", lambda key: self.woken.add(key.name))
        monkeypatch.setattr(self.controller._policy_queue, "add", lambda _: None)
        self.controller._policies.take({"metadata": {"name": "p"}, "spec": SHARED.spec.as_json()})

    async def see(self, name, route, status):
        """A migration as it is by now; who else is woken by that."""
        self._version += 1
        spec = {"vm": name, "sourceNode": f"node-{route[0]}", "targetNode": f"node-{route[1]}"}
        metadata = {
            "name": name,
            "namespace": "default",
            "uid": name,
            "resourceVersion": str(self._version),
            "creationTimestamp": after(self._version).isoformat(),
        }
        own = status.source.replace(vm=status.source.vm.replace(uuid=name))
        told = status.replace(source=own).as_json()
        self.controller._migrations.take({"metadata": metadata, "spec": spec, "status": told})
        await asyncio.sleep(0)
        self.seen = name in self.woken
        others = self.woken - {name}
        self.woken.clear()
        return others


@pytest.fixture
async def client():
    async with ApiClient() as client:
        yield client


@pytest.fixture
def cluster(client, monkeypatch):
    return Cluster(client, monkeypatch)


async def test_those_whose_share_changes_are_woken_and_no_others(cluster):
    await cluster.see("one", "ab", runs())
    await cluster.see("far", "cd", runs())
    assert await cluster.see("two", "ae", runs(share=45)) == {"one"}
    assert await cluster.see("one", "ab", runs(share=45)) == set()
    assert await cluster.see("two", "ae", runs(share=45, phase=Phase.SUCCEEDED)) == {"one"}


async def test_reports_of_progress_wake_nobody_else(cluster):
    await cluster.see("one", "ab", runs())
    await cluster.see("q", "ac", waits(1))
    further = runs().replace(progress=runs().progress.replace(elapsed=timedelta(seconds=21)))
    assert await cluster.see("one", "ab", further) == set()


async def test_those_whose_turn_it_is_or_whose_place_is_told_exactly_are_woken(cluster):
    for number in range(2):
        await cluster.see(f"r{number}", "ab" if number else "ac", runs(share=45))
    for number in range(30):
        await cluster.see(f"q{number:02}", "ad", waits(number + 1))
    await cluster.see("behind", "xy", waits(31))
    woken = await cluster.see("r0", "ac", runs(phase=Phase.SUCCEEDED))
    assert woken == {"r1", "behind", *(f"q{number:02}" for number in range(20))}


class Failing(Measurements):
    """What can't count some figures."""

    def stalled(self, policy):
        raise ValueError(policy)


async def test_what_changes_is_looked_at_and_others_are_woken_though_it_can_t_be_counted(
    client, monkeypatch, caplog
):
    cluster = Cluster(client, monkeypatch, measurements=Failing())
    cluster.controller._counts = True
    await cluster.see("one", "ab", runs(share=45))
    await cluster.see("two", "ae", runs(share=45))
    stalls = running(stalling_since=1, desired=DESIRED, phase=Phase.SUCCEEDED, policy=BY)
    assert await cluster.see("two", "ae", stalls) == {"one"}
    assert cluster.seen
    assert [each.message for each in caplog.records] == ["left out: metrics of VMMigration default/two"]
