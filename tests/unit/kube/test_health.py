"""What probes are told."""

import aiohttp
import pytest

from vmferry_kube.health import HealthServer


@pytest.fixture
async def asking():
    """Serves, and asks; what is dead or not ready is in two lists."""
    dead, not_ready = [], []

    async def look():
        return not_ready

    server = HealthServer(dead=lambda: dead, not_ready=look, metrics=lambda: b"up 1\n")
    port = await server.start("127.0.0.1", 0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def ask(path):
            async with session.get(path) as answer:
                return answer.status, await answer.text()

        yield ask, dead, not_ready
    await server.stop()


async def test_who_is_well_says_so(asking):
    ask, _, _ = asking
    assert [await ask(path) for path in ("/healthz", "/readyz")] == [(200, "ok\n")] * 2


async def test_what_is_dead_is_named_and_is_another_thing_than_what_is_not_ready(asking):
    ask, dead, not_ready = asking
    dead.append("source: the watch has died")
    assert await ask("/healthz") == (503, "source: the watch has died\n")
    assert (await ask("/readyz"))[0] == 200
    dead.clear()
    not_ready.extend(["a", "b"])
    assert await ask("/readyz") == (503, "a\nb\n")
    assert (await ask("/healthz"))[0] == 200


async def test_metrics_are_served(asking):
    ask, _, _ = asking
    assert await ask("/metrics") == (200, "up 1\n")
