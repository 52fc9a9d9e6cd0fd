import asyncio
from datetime import timedelta

import pytest

from vmferry_kube.measuring import Failure
from vmferry_kube.queues import WorkQueue


class Work:
    """Counts its calls; each waits until it is let go."""

    def __init__(self, *results):
        self.keys = []
        self.at_once = 0
        self.most_at_once = 0
        self.go = asyncio.Event()
        self.go.set()
        self._results = list(results)
        self._called = asyncio.Condition()

    async def __call__(self, key):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        async with self._called:
            self.keys.append(key)
            self._called.notify_all()
        await self.go.wait()
        self.at_once -= 1
        result = self._results.pop(0) if self._results else None
        if isinstance(result, Exception):
            raise result
        return result

    async def called(self, times):
        async with asyncio.timeout(10), self._called:
            await self._called.wait_for(lambda: len(self.keys) >= times)


@pytest.fixture
async def queueing():
    queues = []

    def new(work):
        queues.append(WorkQueue(work))
        return queues[-1]

    yield new
    for each in queues:
        await each.stop()


async def test_a_key_added_often_while_it_is_worked_on_is_worked_on_once_more(queueing):
    work = Work()
    work.go.clear()
    queue = queueing(work)
    queue.add("a")
    await work.called(1)
    for _ in range(10):
        queue.add("a")
    work.go.set()
    await work.called(2)
    queue.add("b")
    await work.called(3)
    assert work.keys == ["a", "a", "b"]


async def test_one_key_is_never_worked_on_twice_at_once_but_several_keys_are(queueing):
    work = Work()
    work.go.clear()
    queue = queueing(work)
    for key in "abab":
        queue.add(key)
    await work.called(2)
    assert sorted(work.keys) == ["a", "b"]
    assert work.most_at_once == 2


async def test_work_that_fails_is_done_again(queueing):
    work = Work(RuntimeError("no"), None)
    queueing(work).add("a")
    await work.called(2)


async def test_work_is_done_again_when_it_says_so(queueing):
    work = Work(timedelta(milliseconds=1), timedelta(milliseconds=1), None)
    queueing(work).add("a")
    await work.called(3)


async def test_a_forgotten_key_is_not_worked_on_again(queueing):
    work = Work(timedelta(milliseconds=1), None)
    work.go.clear()
    queue = queueing(work)
    queue.add("a")
    await work.called(1)
    queue.forget("a")
    work.go.set()
    queue.add("b")
    await work.called(2)
    assert work.keys == ["a", "b"]


async def test_a_key_that_is_forgotten_and_added_again_is_still_worked_on_once_at_a_time(queueing):
    work = Work()
    work.go.clear()
    queue = queueing(work)
    queue.add("a")
    await work.called(1)
    queue.forget("a")
    queue.add("a")
    await asyncio.sleep(0.01)
    work.go.set()
    await work.called(2)
    assert work.keys == ["a", "a"]
    assert work.most_at_once == 1


async def test_what_each_call_took_and_how_it_failed_is_told():
    told = []
    work = Work(RuntimeError("no"), None)
    queue = WorkQueue(work, tell=lambda *, seconds, failure: told.append((seconds >= 0, failure)))
    queue.add("a")
    await work.called(2)
    await queue.stop()
    assert told == [(True, Failure.UNEXPECTED), (True, None)]


async def test_its_length_is_that_of_all_that_is_worked_on_or_waits_for_it(queueing):
    work = Work(timedelta(hours=1), None, None)
    queue = queueing(work)
    queue.add("done, and due in an hour")
    await work.called(1)
    work.go.clear()
    queue.add("a")
    queue.add("b")
    await work.called(3)
    assert queue.length == 2


async def test_a_queue_that_was_stopped_may_be_used_anew(queueing):
    work = Work()
    work.go.clear()
    queue = queueing(work)
    queue.add("a")
    await work.called(1)
    await queue.stop()
    assert queue.length == 0
    work.go.set()
    queue.add("a")
    await work.called(2)


async def test_what_is_worked_on_may_end_by_itself_before_a_stop_and_nothing_follows_it(queueing):
    ended = []
    work = Work(timedelta(0))
    work.go.clear()

    async def call(key):
        after = await work(key)
        ended.append(key)
        return after

    queue = queueing(call)
    queue.add("a")
    queue.add("b")
    await work.called(2)
    queue.add("a")
    stopping = asyncio.create_task(queue.stop(grace=30))
    await asyncio.sleep(0)
    work.go.set()
    await stopping
    assert sorted(ended) == ["a", "b"]
    assert (work.keys, queue.length) == (["a", "b"], 0)
