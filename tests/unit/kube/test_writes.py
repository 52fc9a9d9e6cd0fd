"""What writes make of the API server's answers, or of its silence; over real HTTP."""

import asyncio
import contextlib

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, ApiException, Configuration, CustomObjectsApi

from vmferry_api.objects import ObjectMeta
from vmferry_kube.clients import guard
from vmferry_kube.errors import ConflictError, NotLeadingError, UnavailableError
from vmferry_kube.measuring import Failure, untold
from vmferry_kube.migrations import FinalizerWriter, Remover, StatusWriter

SEEN = ObjectMeta(name="m", namespace="default", uid="u", resource_version="5")
FOUND = {"metadata": {"name": "m", "namespace": "default", "uid": "u", "resourceVersion": "7"}}


async def hang_up(request):
    request.transport.abort()
    return web.Response()


async def stop_in_the_middle(request):
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"metadata": ')
    request.transport.abort()
    return response


class Answers:
    """An API server that answers every write and every read alike."""

    def __init__(self, write, found=None):
        self._write = write
        self._found = found

    async def answer(self, request):
        if request.method == "GET":
            return web.json_response(self._found)
        return await self._write(request)


def refuse(status):
    async def answer(request):
        return web.json_response({"message": "no"}, status=status)

    return answer


@pytest.fixture
async def serving():
    opened = []

    async def serve(answers):
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answers.answer)
        server = TestServer(application)
        await server.start_server()
        client = ApiClient(Configuration(host=str(server.make_url("")).rstrip("/")))
        opened.extend([client, server])
        return client

    yield serve
    for each in opened:
        await each.close()


WRITES = {
    "status": lambda client, tell=untold: StatusWriter(client, manager="x", tell=tell).apply_migration(
        SEEN, {}
    ),
    "policy": lambda client, tell=untold: StatusWriter(client, manager="x", tell=tell).apply_policy(SEEN, {}),
    "finalizer": lambda client, tell=untold: FinalizerWriter(client, tell=tell).set(SEEN, held=True),
    "removal": lambda client, tell=untold: Remover(client, tell=tell).remove(SEEN),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("answer", [hang_up, stop_in_the_middle])
async def test_a_server_that_goes_away_in_the_middle_is_unavailable(serving, write, answer):
    client = await serving(Answers(answer))
    with pytest.raises(UnavailableError):
        await write(client)


async def test_a_server_that_is_not_there_is_unavailable(serving):
    client = await serving(Answers(hang_up))
    client.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(UnavailableError):
        await WRITES["status"](client)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_conflict_brings_the_object_as_it_is_by_now(serving, write):
    client = await serving(Answers(refuse(409), FOUND))
    with pytest.raises(ConflictError) as conflict:
        await write(client)
    assert conflict.value.found == FOUND


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_where_a_namesake_is_in_the_way_the_object_is_gone(serving, write):
    client = await serving(Answers(refuse(409), {"metadata": {**FOUND["metadata"], "uid": "other"}}))
    with pytest.raises(ApiException) as refused:
        await write(client)
    assert refused.value.status == 404


async def test_what_is_refused_though_nothing_has_changed_is_no_conflict(serving):
    client = await serving(Answers(refuse(422), {"metadata": {**FOUND["metadata"], "resourceVersion": "5"}}))
    with pytest.raises(ApiException) as refused:
        await WRITES["finalizer"](client)
    assert refused.value.status == 422


async def take(request):
    return web.json_response(FOUND)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_guarded_client_writes_nothing_when_it_may_not_but_reads(serving, write):
    asked, told = [], []

    async def answer(request):
        asked.append(request.method)
        return web.json_response(FOUND)

    def may_not():
        raise NotLeadingError

    client = await serving(Answers(answer, FOUND))
    guard(client, may_not)
    with pytest.raises(NotLeadingError):
        await write(client, lambda *, seconds, failure: told.append(failure))
    assert (asked, told) == ([], [Failure.NOT_LEADING])
    place = {"group": "g", "version": "v", "namespace": "default", "plural": "p", "name": "m"}
    assert await CustomObjectsApi(client).get_namespaced_custom_object(**place) == FOUND


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_guarded_write_takes_no_longer_than_it_may(serving, write):
    ended = asyncio.Event()

    async def hang(_request):
        await ended.wait()
        return web.Response()

    client = await serving(Answers(hang))
    guard(client, lambda: 0.05)
    with pytest.raises(UnavailableError):
        await write(client)
    ended.set()


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (take, None),
        (hang_up, Failure.UNAVAILABLE),
        (refuse(409), Failure.CONFLICT),
        (refuse(403), Failure.REFUSED),
    ],
)
async def test_each_write_tells_what_it_took_and_how_it_failed(serving, write, answer, failure):
    told = []
    client = await serving(Answers(answer, FOUND))
    with contextlib.suppress(UnavailableError, ConflictError, ApiException):
        await write(client, lambda *, seconds, failure: told.append((seconds > 0, failure)))
    assert told == [(True, failure)]
