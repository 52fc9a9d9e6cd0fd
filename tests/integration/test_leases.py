"""The Lease of a node's agent, as a real API server takes it."""

import asyncio
import itertools
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.aio.client import ApiException, CoordinationV1Api

from vmferry_kube.leases import Lease, agent_lease_name
from vmferry_lab.controlplane.control_plane import OPERATOR
from vmferry_operator.cluster_facts import ClusterFacts

NAMESPACE = "vmferry-system"


@pytest.fixture
def agent_of(control_plane, connected):
    """The API server as the agent of a node sees it."""
    return lambda node: connected(control_plane.agent_kubeconfig(node))


@pytest.fixture
async def operator(control_plane, connected):
    """The API server as the operator sees it."""
    return await connected(control_plane.kubeconfig(OPERATOR))


def new(agent, name, *, holder, namespace=NAMESPACE, every=timedelta(milliseconds=50)):
    return Lease(agent, namespace=namespace, name=name, holder=holder, every=every)


async def test_an_agent_creates_its_lease_and_renews_it(agent_of, leases):
    lease = new(await agent_of("created"), "vmferry-agent-created", holder="created_boot-1")
    await lease.renew()
    first = leases.read_namespaced_lease("vmferry-agent-created", NAMESPACE).spec
    await lease.renew()
    second = leases.read_namespaced_lease("vmferry-agent-created", NAMESPACE).spec
    assert (first.holder_identity, first.lease_duration_seconds) == ("created_boot-1", 40)
    assert second.renew_time > first.renew_time
    assert (second.acquire_time, second.lease_transitions) == (first.acquire_time, 0)
    assert lease.renewed_at == second.renew_time


async def test_after_a_reboot_the_same_lease_has_another_holder(agent_of, leases):
    agent = await agent_of("rebooted")
    await new(agent, "vmferry-agent-rebooted", holder="rebooted_boot-1").renew()
    await new(agent, "vmferry-agent-rebooted", holder="rebooted_boot-2").renew()
    spec = leases.read_namespaced_lease("vmferry-agent-rebooted", NAMESPACE).spec
    assert (spec.holder_identity, spec.lease_transitions) == ("rebooted_boot-2", 1)


async def test_a_lease_that_somebody_removes_or_writes_to_is_renewed_all_the_same(agent_of, leases):
    name = "vmferry-agent-touched"
    lease = new(await agent_of("touched"), name, holder="touched_boot-1")
    await lease.renew()
    leases.delete_namespaced_lease(name, NAMESPACE)
    await lease.renew()
    leases.patch_namespaced_lease(name, NAMESPACE, {"metadata": {"labels": {"touched": "yes"}}})
    await lease.renew()
    found = leases.read_namespaced_lease(name, NAMESPACE)
    assert found.metadata.labels == {"touched": "yes"}
    assert found.spec.renew_time == lease.renewed_at


async def test_an_agent_may_touch_no_leases_elsewhere(agent_of):
    agent = await agent_of("node-a")
    with pytest.raises(ApiException) as refused:
        await new(agent, "vmferry-agent-node-a", holder="node-a_boot-1", namespace="kube-system").renew()
    assert refused.value.status == 403


async def test_it_is_kept_renewed_and_what_fails_is_tried_again(agent_of, leases):
    lease = new(await agent_of("kept"), "vmferry-agent-kept", holder="kept_boot-1")
    refused, renewals = [ApiException(status=500, reason="of the test")], asyncio.Semaphore(0)
    real = lease.renew

    async def renew():
        if refused:
            raise refused.pop()
        await real()
        renewals.release()

    lease.renew = renew
    keeping = asyncio.create_task(lease.keep())
    async with asyncio.timeout(10):
        for _ in range(3):
            await renewals.acquire()
    keeping.cancel()
    assert leases.read_namespaced_lease("vmferry-agent-kept", NAMESPACE).spec.holder_identity == "kept_boot-1"


async def test_the_operator_reads_when_it_was_renewed_by_the_api_server_s_clock(operator, agent_of):
    ahead = timedelta(hours=1)
    name = agent_lease_name("node-of-lease")
    lease = Lease(
        await agent_of("node-of-lease"),
        namespace=NAMESPACE,
        name=name,
        holder="node-of-lease_boot-1",
        now=lambda: datetime.now(UTC) + ahead,
    )
    await lease.renew()
    facts = ClusterFacts(operator, namespace=NAMESPACE, clock=itertools.count(0, 10).__next__)
    first = (await facts.agent_leases(["node-of-lease"]))["node-of-lease"]
    assert abs(datetime.now(UTC) - first.renewed) < timedelta(minutes=5)
    assert first.lasts == timedelta(seconds=40)
    async with asyncio.timeout(30):  # the API server's times are whole seconds
        while (await facts.agent_leases(["node-of-lease"]))["node-of-lease"].renewed <= first.renewed:
            await lease.renew()


async def test_whoever_dates_a_lease_ahead_does_not_make_a_node_live_for_ever(operator, agent_of):
    agent = await agent_of("node-of-lease")
    name = agent_lease_name("node-of-lease")
    await Lease(agent, namespace=NAMESPACE, name=name, holder="node-of-lease_boot-1").renew()
    leases = CoordinationV1Api(agent)
    found = await leases.read_namespaced_lease(name, NAMESPACE)
    forged = deepcopy(found.metadata.managed_fields[0])
    forged.manager, forged.time = "another", datetime(2099, 1, 1, tzinfo=UTC)
    found.metadata.managed_fields.append(forged)
    stored = await leases.replace_namespaced_lease(name, NAMESPACE, found)
    assert forged.time in [each.time for each in stored.metadata.managed_fields]
    known = (await ClusterFacts(operator, namespace=NAMESPACE).agent_leases(["node-of-lease"]))[
        "node-of-lease"
    ]
    assert abs(datetime.now(UTC) - known.renewed) < timedelta(minutes=5)


async def test_of_a_lease_that_there_is_not_nothing_is_known(operator):
    assert await ClusterFacts(operator, namespace=NAMESPACE).agent_leases(["node-without-agent"]) == {}


async def test_a_lease_that_the_operator_may_not_read_is_not_known(operator):
    assert await ClusterFacts(operator, namespace="default").agent_leases(["node-of-lease"]) == {}
