"""The Lease of a node's agent, as a real API server takes it."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes import client as sync
from kubernetes import config as sync_config
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration

from vmferry_kube.leases import Lease, agent_lease_name
from vmferry_lab.controlplane.control_plane import AGENT, OPERATOR
from vmferry_operator.cluster_facts import ClusterFacts

NAMESPACE = "vmferry-system"


@asynccontextmanager
async def connected_as(control_plane, user):
    configuration = Configuration()
    await config.load_kube_config(str(control_plane.kubeconfig(user)), client_configuration=configuration)
    async with ApiClient(configuration) as connected:
        yield connected


@pytest.fixture
async def agent(control_plane):
    """The API server as the agents see it."""
    async with connected_as(control_plane, AGENT) as connected:
        yield connected


@pytest.fixture
async def operator(control_plane):
    """The API server as the operator sees it."""
    async with connected_as(control_plane, OPERATOR) as connected:
        yield connected


@pytest.fixture
def leases(control_plane):
    connection = sync_config.new_client_from_config(str(control_plane.kubeconfig()))
    yield sync.CoordinationV1Api(connection)
    connection.close()


def new(agent, name, *, holder="node-a_boot-1", namespace=NAMESPACE, every=timedelta(milliseconds=50)):
    return Lease(agent, namespace=namespace, name=name, holder=holder, every=every)


async def test_an_agent_creates_its_lease_and_renews_it(agent, leases):
    lease = new(agent, "vmferry-agent-created")
    await lease.renew()
    first = leases.read_namespaced_lease("vmferry-agent-created", NAMESPACE).spec
    await lease.renew()
    second = leases.read_namespaced_lease("vmferry-agent-created", NAMESPACE).spec
    assert (first.holder_identity, first.lease_duration_seconds) == ("node-a_boot-1", 40)
    assert second.renew_time > first.renew_time
    assert (second.acquire_time, second.lease_transitions) == (first.acquire_time, 0)
    assert lease.renewed_at == second.renew_time


async def test_after_a_reboot_the_same_lease_has_another_holder(agent, leases):
    await new(agent, "vmferry-agent-rebooted").renew()
    await new(agent, "vmferry-agent-rebooted", holder="node-a_boot-2").renew()
    spec = leases.read_namespaced_lease("vmferry-agent-rebooted", NAMESPACE).spec
    assert (spec.holder_identity, spec.lease_transitions) == ("node-a_boot-2", 1)


async def test_a_lease_that_somebody_removes_or_writes_to_is_renewed_all_the_same(agent, leases):
    name = "vmferry-agent-touched"
    lease = new(agent, name)
    await lease.renew()
    leases.delete_namespaced_lease(name, NAMESPACE)
    await lease.renew()
    leases.patch_namespaced_lease(name, NAMESPACE, {"metadata": {"labels": {"touched": "yes"}}})
    await lease.renew()
    found = leases.read_namespaced_lease(name, NAMESPACE)
    assert found.metadata.labels == {"touched": "yes"}
    assert found.spec.renew_time == lease.renewed_at


async def test_an_agent_may_touch_no_leases_elsewhere(agent):
    with pytest.raises(ApiException) as refused:
        await new(agent, "vmferry-agent-node-a", namespace="kube-system").renew()
    assert refused.value.status == 403


async def test_it_is_kept_renewed_and_what_fails_is_tried_again(agent, leases):
    lease = new(agent, "vmferry-agent-kept")
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
    assert (
        leases.read_namespaced_lease("vmferry-agent-kept", NAMESPACE).spec.holder_identity == "node-a_boot-1"
    )


async def test_the_operator_reads_when_it_was_renewed_by_the_api_server_s_clock(operator, agent, leases):
    ahead = timedelta(hours=1)
    name = agent_lease_name("node-of-lease")
    lease = Lease(
        agent, namespace=NAMESPACE, name=name, holder="boot-1", now=lambda: datetime.now(UTC) + ahead
    )
    await lease.renew()
    facts = ClusterFacts(operator, namespace=NAMESPACE, clock=itertools.count(0, 10).__next__)
    first = (await facts.agent_leases(["node-of-lease"]))["node-of-lease"]
    assert abs(datetime.now(UTC) - first.renewed) < timedelta(minutes=5)
    assert first.lasts == timedelta(seconds=40)
    async with asyncio.timeout(30):  # the API server's times are whole seconds
        while (await facts.agent_leases(["node-of-lease"]))["node-of-lease"].renewed <= first.renewed:
            await lease.renew()


async def test_of_a_lease_that_there_is_not_nothing_is_known(operator):
    assert await ClusterFacts(operator, namespace=NAMESPACE).agent_leases(["node-without-agent"]) == {}


async def test_a_lease_that_the_operator_may_not_read_is_not_known(operator):
    assert await ClusterFacts(operator, namespace="default").agent_leases(["node-of-lease"]) == {}
