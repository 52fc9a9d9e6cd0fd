"""Events as a real API server takes them from the operator, and as kubectl shows them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from vmferry_api.conditions import Condition, ConditionType, Status
from vmferry_api.migrations import AppliedPolicy, Attempt, Phase, StepRecord, VMMigration, VMMigrationStatus
from vmferry_api.policies import MigrationPolicy
from vmferry_lab.controlplane.control_plane import OPERATOR
from vmferry_lab.kubectl import Kubectl
from vmferry_lab.until import until
from vmferry_operator.event_recorder import EventRecorder
from vmferry_operator.event_series import UPDATE_EVERY

PATIENCE = 60.0
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = "gentle"


@pytest.fixture
async def client(control_plane):
    configuration = Configuration()
    await config.load_kube_config(str(control_plane.kubeconfig(OPERATOR)), client_configuration=configuration)
    async with ApiClient(configuration) as connected:
        yield connected


@pytest.fixture
def kubectl(control_plane):
    return Kubectl(control_plane.kubeconfig())


@pytest.fixture
async def recorder(client, kubectl):
    ahead = iter(range(1_000_000))
    stored = MigrationPolicy.model_validate(kubectl.get("migpol", POLICY))
    made = EventRecorder(
        client,
        policy=lambda name: stored if name == POLICY else None,
        # so that a series is due at once, however many are counted
        now=lambda: datetime.now(UTC) + next(ahead) * UPDATE_EVERY / 10,
    )
    made.start()
    yield made
    await made.stop()


@pytest.fixture
def seen(migration):
    """The migration with a status."""
    stored = VMMigration.model_validate(migration)
    return lambda **status: stored.replace(status=VMMigrationStatus(**status))


def events(kubectl, kind, name):
    """The Events of an object, oldest first."""
    words = ["get", "events.events.k8s.io", "-A", "-o", "json"]
    items = json.loads(kubectl.run(*words))["items"]
    mine = [each for each in items if each["regarding"]["kind"] == kind and each["regarding"]["name"] == name]
    return sorted(mine, key=lambda each: each["eventTime"])


async def shown(what, probe):
    return await asyncio.to_thread(until, what, probe, timeout=PATIENCE, interval=0.2)


async def test_kubectl_describe_tells_the_story_in_its_order(recorder, kubectl, seen):
    step = StepRecord(
        time=NOW, attempt=1, step=1, trigger="stalled for 2s", action="setMaxDowntime 100ms → 2s", revision=2
    )
    policy = AppliedPolicy(name=POLICY, generation=1, why="named by spec.policyRef")
    attempts = [Attempt(number=1, start=NOW)]
    story = [
        seen(),
        seen(policy=policy),
        seen(policy=policy, attempts=attempts),
        seen(policy=policy, attempts=attempts, steps=[step]),
    ]
    for before, after in pairwise(story):
        recorder.migration_changed(before, after)
    name = story[0].metadata.name
    await shown("the events", lambda: len(events(kubectl, "VMMigration", name)) == 3)
    told = kubectl.run("describe", "vmmig", name).partition("Events:")[2]
    lines = [" ".join(line.split()) for line in told.splitlines() if "vmferry.io/operator" in line]
    assert [line.split()[:2] for line in lines] == [
        ["Normal", "PolicySelected"],
        ["Normal", "AttemptStarted"],
        ["Normal", "StepTaken"],
    ]
    assert lines[0].endswith(f"goes by {POLICY}: named by spec.policyRef")
    assert lines[2].endswith("step 1: setMaxDowntime 100ms → 2s, because: stalled for 2s")
    on_policy = kubectl.run("describe", "migpol", POLICY).partition("Events:")[2]
    assert f"default/{name}: goes by {POLICY}: named by spec.policyRef" in on_policy


async def test_what_comes_again_is_a_series(recorder, kubectl, seen):
    def stalling(status, reason):
        told = Condition(
            type=ConditionType.MIGRATION_STALLING,
            status=Status(status),
            reason=reason,
            message="1.28s",
            last_transition_time=NOW,
        )
        return seen(phase=Phase.RUNNING, attempts=[Attempt(number=1, start=NOW)], conditions=[told])

    for_now, stalls = stalling("False", "Converging"), stalling("True", "NotConverging")
    for _ in range(5):
        recorder.migration_changed(for_now, stalls)
    name = stalls.metadata.name

    def counted():
        (event,) = events(kubectl, "VMMigration", name) or [{}]
        return event if event.get("series", {}).get("count") == 5 else None

    event = await shown("a count of 5", counted)
    began, last = (
        datetime.fromisoformat(at) for at in (event["eventTime"], event["series"]["lastObservedTime"])
    )
    assert timedelta(0) < last - began
    recorder.migration_changed(for_now, stalls)
    await shown(
        "a count of 6",
        lambda: events(kubectl, "VMMigration", name)[0]["series"]["count"] == 6,
    )
    assert "(x6 over" in kubectl.run("describe", "vmmig", name)


async def test_what_was_written_once_is_counted_when_it_comes_again(recorder, kubectl, seen):
    policy = AppliedPolicy(name="no-such", generation=1, why="by default")
    name = seen().metadata.name
    recorder.migration_changed(seen(), seen(policy=policy))
    (first,) = await shown("the event", lambda: events(kubectl, "VMMigration", name))
    assert first.get("series") is None
    for count in (2, 3):
        recorder.migration_changed(seen(), seen(policy=policy))
        await shown(
            f"a count of {count}, or a drop",
            lambda count=count: (
                recorder.dropped
                or (events(kubectl, "VMMigration", name)[0].get("series") or {}).get("count") == count
            ),
        )
        assert recorder.dropped == 0
        (again,) = events(kubectl, "VMMigration", name)
        last = datetime.fromisoformat(again["series"]["lastObservedTime"])
        assert last > datetime.fromisoformat(first["eventTime"])
        first = {"eventTime": again["series"]["lastObservedTime"]}


async def test_an_event_that_the_api_server_has_forgotten_is_created_again(recorder, kubectl, seen):
    policy = AppliedPolicy(name="no-such", generation=1, why="by default")
    name = seen().metadata.name
    recorder.migration_changed(seen(), seen(policy=policy))
    await shown("the event", lambda: events(kubectl, "VMMigration", name))
    kubectl.run("delete", "events", "--field-selector", f"involvedObject.name={name}")
    recorder.migration_changed(seen(), seen(policy=policy))
    again = await shown("it again", lambda: events(kubectl, "VMMigration", name))
    assert (again[0]["note"], again[0]["series"]["count"]) == ("goes by no-such: by default", 2)
    assert recorder.dropped == 0
