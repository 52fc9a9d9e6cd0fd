"""What the API server is asked about other objects, and how often."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CoordinationV1Api,
    CoreV1Api,
    V1Lease,
    V1LeaseSpec,
    V1Namespace,
    V1Node,
    V1ObjectMeta,
)

from vmferry_operator.cluster_facts import REMEMBERED, ClusterFacts
from vmferry_operator.decisions.silence import AgentLease

RENEWED = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE = V1Lease(metadata=V1ObjectMeta(), spec=V1LeaseSpec(renew_time=RENEWED, lease_duration_seconds=40))
KNOWN = AgentLease(renewed=RENEWED, lasts=timedelta(seconds=40))
MISSING, FORBIDDEN = ApiException(status=404), ApiException(status=403, reason="Forbidden")


class ApiServer:
    """Answers with what it is given, once it may, and writes down what it was asked."""

    def __init__(self):
        self.asked = []
        self.answer = MISSING
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def read(self, name, **_):
        self.asked.append(name)
        await self.may_answer.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def server(monkeypatch):
    it = ApiServer()
    for api, method in (
        (CoordinationV1Api, "read_namespaced_lease"),
        (CoreV1Api, "read_node"),
        (CoreV1Api, "read_namespace"),
    ):
        monkeypatch.setattr(api, method, lambda _, name, **more: it.read(name, **more))
    return it


class Seconds:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
async def facts(server):
    async with ApiClient() as client:
        clock = Seconds()
        made = ClusterFacts(client, namespace="vmferry-system", clock=clock)
        made.clock = clock
        yield made


@pytest.mark.parametrize(
    ("answer", "known"),
    [(LEASE, {"node-a": KNOWN}), (MISSING, {}), (FORBIDDEN, {}), (OSError("no route"), {})],
)
async def test_what_is_known_of_a_lease_or_that_nothing_is_serves_for_a_moment(facts, server, answer, known):
    server.answer = answer
    for _ in range(3):
        assert await facts.agent_leases(["node-a"]) == known
    assert len(server.asked) == 1
    facts.clock.now += REMEMBERED
    server.answer = LEASE
    assert await facts.agent_leases(["node-a"]) == {"node-a": KNOWN}
    assert len(server.asked) == 2


async def test_a_refusal_is_logged_once_for_each_time_that_it_is_asked(facts, server, caplog):
    server.answer = FORBIDDEN
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await facts.agent_leases(["node-a"])
    assert [each.message for each in caplog.records] == [
        "can't look for Lease vmferry-agent-node-a: 403 Forbidden"
    ]


async def test_a_node_that_there_was_not_counts_as_soon_as_it_is_there(facts, server):
    assert await facts.existing_nodes(["node-a"]) == set()
    server.answer = V1Node()
    for _ in range(3):
        assert await facts.existing_nodes(["node-a"]) == {"node-a"}
    assert len(server.asked) == 2


async def test_a_namespace_that_could_not_be_read_is_asked_for_again_at_once(facts, server):
    server.answer = FORBIDDEN
    assert await facts.namespace_labels("default") is None
    server.answer = V1Namespace(metadata=V1ObjectMeta(labels={"a": "b"}))
    assert await facts.namespace_labels("default") == {"a": "b"}


@pytest.mark.parametrize("answer", [MISSING, FORBIDDEN, V1Node()])
async def test_all_that_ask_at_once_are_served_by_one_answer(facts, server, answer):
    server.answer = answer
    server.may_answer.clear()
    asking = [asyncio.create_task(facts.existing_nodes(["node-a"])) for _ in range(5)]
    await asyncio.sleep(0)
    server.may_answer.set()
    found = await asyncio.gather(*asking)
    assert all(each == found[0] for each in found)
    assert server.asked == ["node-a"]


async def test_the_first_that_asks_may_leave_and_the_others_get_their_answer(facts, server):
    server.answer = LEASE
    server.may_answer.clear()
    first, second = (asyncio.create_task(facts.agent_leases(["node-a"])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    server.may_answer.set()
    assert await second == {"node-a": KNOWN}
    assert len(server.asked) == 1


async def test_what_is_too_old_to_serve_is_forgotten(facts, server):
    server.answer = LEASE
    await facts.agent_leases([f"node-{number}" for number in range(100)])
    assert len(facts._leases._found) == 100
    facts.clock.now += REMEMBERED
    await facts.agent_leases(["node-a"])
    assert list(facts._leases._found) == ["vmferry-agent-node-a"]
