"""What probes are told."""

import asyncio

import aiohttp
import pytest

from vmferry_agent.health import HealthServer, Reachability
from vmferry_agent.hypervisor.port import HypervisorError


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


class Libvirt:
    """Answers as told, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.error = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def facts(self):
        self.asked += 1
        await self.may_answer.wait()
        if self.error:
            raise self.error


async def test_an_answer_of_libvirt_holds_for_a_while():
    libvirt = Libvirt()
    reachability = Reachability(libvirt, lately=3600)
    assert [await reachability.trouble() for _ in range(3)] == [None] * 3
    assert libvirt.asked == 1


async def test_what_libvirt_says_is_wrong_is_told_and_asked_again():
    libvirt = Libvirt()
    libvirt.error = HypervisorError("Permission denied (libvirt error 38)")
    reachability = Reachability(libvirt)
    assert await reachability.trouble() == "Permission denied (libvirt error 38)"
    libvirt.error = None
    assert await reachability.trouble() is None
    assert libvirt.asked == 2


async def test_however_many_ask_a_libvirt_that_hangs_one_call_waits_for_it():
    libvirt = Libvirt()
    libvirt.may_answer.clear()
    reachability = Reachability(libvirt, patience=0.01)
    troubles = await asyncio.gather(*(reachability.trouble() for _ in range(20)))
    assert {trouble.partition(";")[0] for trouble in troubles} == {"libvirt has not answered for 0.01 s"}
    assert libvirt.asked == 1
    libvirt.may_answer.set()
    assert await Reachability(libvirt).trouble() is None
