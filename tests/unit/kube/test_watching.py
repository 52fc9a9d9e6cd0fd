import asyncio
import threading
import time
from types import SimpleNamespace

import pytest
from yarl import URL

from vmferry_kube import watching
from vmferry_kube.backoff import Backoff
from vmferry_kube.watching import Watch


class Ending(Watch):
    """A watch that ends as told, each time that it is begun."""

    def __init__(self, *ends, delays):
        super().__init__(plural="vmmigrations", seen=lambda *_: None, backoff=delays)
        self.begun = threading.Semaphore(0)
        self._ends = list(ends)

    async def _operator(self):
        self.begun.release()
        if self._ends:
            raise self._ends.pop(0)
        await asyncio.sleep(0)

    async def begins(self, times):
        for _ in range(times):
            assert await asyncio.to_thread(self.begun.acquire, timeout=10)


SOON = Backoff(first=0.001, most=0.001)


@pytest.mark.parametrize("end", [RuntimeError("403"), asyncio.CancelledError(), SystemExit(1)])
async def test_a_watch_that_ends_in_whatever_way_is_begun_again(end):
    watch = Ending(end, delays=SOON)
    watch.start()
    await watch.begins(3)
    await watch.stop()
    assert not watch._thread.is_alive()


class Slowing(Backoff):
    """Short at first, then too long for any test."""

    def __iter__(self):
        yield 0.001
        while True:
            yield 3600


async def test_after_a_watch_that_lasted_the_delays_begin_anew(monkeypatch):
    monkeypatch.setattr(watching, "HEALTHY", 0.0)
    watch = Ending(delays=Slowing())
    watch.start()
    await watch.begins(4)
    await watch.stop()


def asked(url):
    """What aiohttp tells when a request begins."""
    return SimpleNamespace(url=URL(url))


STREAM = asked("https://api/apis/vmferry.io/v1alpha1/vmmigrations?watch=true")


async def waits(watch, request=STREAM):
    began = time.monotonic()
    await watch._asks(None, None, request)
    return time.monotonic() - began


async def test_lost_streams_of_many_agents_are_asked_for_again_spread_over_time():
    watches = [Watch(plural="vmmigrations", seen=lambda *_: None, spread=0.5) for _ in range(100)]
    for watch in watches:
        watch._streams = True
    waited = sorted(await asyncio.gather(*map(waits, watches)))
    assert waited[75] - waited[25] > 0.1


async def test_only_a_stream_that_was_lost_is_asked_for_late_and_only_once():
    watch = Watch(plural="vmmigrations", seen=lambda *_: None, spread=3600)
    assert await waits(watch) < 10
    watch._streams = True
    assert await waits(watch, asked("https://api/apis")) < 10
    late = asyncio.create_task(waits(watch))
    await asyncio.sleep(0)
    assert not late.done()
    assert await waits(watch) < 10  # what follows has a backoff of its own
    late.cancel()
