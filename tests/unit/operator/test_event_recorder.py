"""What the recorder makes of the API server's answers, or of its silence; over real HTTP."""

import asyncio
import json
import logging
import time
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration
from migrations_in_words import migration, policy

from vmferry_api.migrations import AppliedPolicy, VMMigrationStatus
from vmferry_kube.backoff import Backoff
from vmferry_kube.measuring import Failure
from vmferry_operator.event_recorder import MOST_TRIES, EventRecorder

PATIENCE = 20
WHY = "named; " + "→" * 700
BEFORE = migration()
SELECTED = migration(VMMigrationStatus(policy=AppliedPolicy(name="p", generation=1, why="named")))
LONG = migration(VMMigrationStatus(policy=AppliedPolicy(name="q", generation=1, why=WHY)))


class Server:
    """Answers by a script, then takes everything; remembers what it took."""

    def __init__(self):
        self.script = []
        self.closed_namespace = ""
        """What a webhook keeps Events out of."""
        self.asked = []
        self.told = []
        self.taken = []

    async def answer(self, request):
        self.asked.append(request.path)
        answer = self.script.pop(0) if self.script else 201
        if f"/namespaces/{self.closed_namespace}/" in request.path:
            answer = 500
        if answer == "hang up":
            request.transport.abort()
            return web.Response()
        if answer >= 400:
            return web.json_response({"message": "no"}, status=answer)
        body = json.loads(await request.text())
        self.taken.append((request.method, request.path, body))
        return web.json_response(body, status=answer)


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def recorder(server):
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    running = TestServer(application)
    await running.start_server()
    client = ApiClient(Configuration(host=str(running.make_url("")).rstrip("/")))
    made = EventRecorder(
        client,
        policy=lambda name: policy("p") if name == "p" else None,
        now=lambda: datetime.now(UTC),
        backoff=Backoff(first=0.001, most=0.002),
        tell=lambda *, seconds, failure: server.told.append(failure),
    )
    made.start()
    yield made
    await made.stop()
    await client.close()
    await running.close()


async def true(probe):
    end = time.monotonic() + PATIENCE
    while not probe():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


async def test_an_event_of_the_migration_and_one_of_its_policy_are_created(server, recorder):
    recorder.migration_changed(BEFORE, SELECTED)
    await true(lambda: len(server.taken) == 2)
    (_, path, event), (_, other_path, other) = server.taken
    assert path == "/apis/events.k8s.io/v1/namespaces/default/events"
    assert event["regarding"] == {
        "apiVersion": "vmferry.io/v1alpha1",
        "kind": "VMMigration",
        "name": "m",
        "namespace": "default",
        "uid": "u",
    }
    assert (event["type"], event["reason"], event["note"]) == (
        "Normal",
        "PolicySelected",
        "goes by p: named",
    )
    assert other_path == path, "Events of what is cluster-scoped are in default"
    assert (other["regarding"]["kind"], other["related"]) == ("MigrationPolicy", event["regarding"])
    assert other["note"] == "default/m: goes by p: named"


async def test_each_write_tells_how_it_failed(server, recorder):
    server.script = [503, "hang up"]
    recorder.migration_changed(BEFORE, SELECTED)
    await true(lambda: len(server.told) == 4)
    assert server.told == [Failure.REFUSED, Failure.UNAVAILABLE, None, None]
    assert not recorder.has_died


@pytest.mark.parametrize("answers", [[503, 500], ["hang up"], [429]])
async def test_what_fails_for_now_is_tried_again(server, recorder, answers):
    server.script = list(answers)
    recorder.migration_changed(BEFORE, SELECTED)
    await true(lambda: len(server.taken) == 2)
    assert recorder.dropped == 0


async def test_what_is_refused_is_dropped_counted_and_told_once_and_the_rest_goes_on(
    server, recorder, caplog
):
    server.script = [403, 422]
    recorder.migration_changed(BEFORE, SELECTED)
    await true(lambda: recorder.dropped == 2)
    recorder.migration_changed(SELECTED, LONG)
    await true(lambda: len(server.taken) == 1)
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert "403" in warned[0].getMessage()


@pytest.mark.parametrize("answer", [503, 429, "hang up"])
async def test_what_is_never_taken_is_dropped_after_so_many_tries(server, recorder, answer):
    server.script = [answer] * MOST_TRIES
    recorder.migration_changed(BEFORE, LONG)
    await true(lambda: recorder.dropped == 1)
    assert len(server.asked) == MOST_TRIES
    recorder.migration_changed(BEFORE, SELECTED)
    await true(lambda: len(server.taken) == 2)
    assert len(server.asked) == MOST_TRIES + 2


async def test_one_that_the_server_fails_at_keeps_no_other_waiting(server, recorder):
    server.closed_namespace = "closed"
    before, selected = (
        each.replace(metadata=each.metadata.replace(namespace="closed")) for each in (BEFORE, SELECTED)
    )
    recorder.migration_changed(before, selected)
    await true(lambda: recorder.dropped == 1)
    ((_, path, event),) = server.taken
    assert event["note"] == "closed/m: goes by p: named"
    assert server.asked.index(path) < MOST_TRIES / 2
    assert len(server.asked) == MOST_TRIES + 1


async def test_one_whose_answer_was_lost_counts_as_created(server, recorder):
    server.script = ["hang up", 409]
    recorder.migration_changed(BEFORE, SELECTED)
    await true(lambda: len(server.taken) == 1)
    assert recorder.dropped == 0


async def test_a_note_is_cut_to_the_bytes_that_the_api_server_takes(server, recorder):
    recorder.migration_changed(BEFORE, LONG)
    await true(lambda: server.taken)
    note = server.taken[0][2]["note"]
    assert 1020 <= len(note.encode()) <= 1024
    assert note.endswith("→…")


async def test_to_record_takes_no_time_though_nobody_answers(server, recorder):
    server.script = [503] * 1_000_000
    began = time.monotonic()
    for _ in range(500):
        recorder.migration_changed(BEFORE, SELECTED)
    assert time.monotonic() - began < 5


async def test_what_is_seen_first_is_not_news(server, recorder):
    recorder.migration_changed(None, SELECTED)
    recorder.migration_changed(SELECTED, None)
    namesake = SELECTED.replace(metadata=SELECTED.metadata.replace(uid="another"))
    recorder.migration_changed(BEFORE, namesake)
    recorder.policy_changed(None, policy())
    recorder.migration_changed(BEFORE, LONG)
    await true(lambda: server.taken)
    assert [body["note"][:9] for _, _, body in server.taken] == ["goes by q"]


async def test_what_still_waits_is_written_when_the_operator_stops(server, recorder):
    recorder.migration_changed(BEFORE, SELECTED)
    await recorder.stop()
    assert len(server.taken) == 2
