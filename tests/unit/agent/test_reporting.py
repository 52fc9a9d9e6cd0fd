import asyncio
from datetime import timedelta

import pytest
from kubernetes.aio.client import ApiException

from vmferry_agent.reporting import ObjectGoneError, Reporter
from vmferry_kube.errors import ConflictError, UnavailableError


class Written:
    """Takes what is written; fails as told first."""

    def __init__(self, *failures):
        self.statuses = []
        self.at_once = 0
        self.most_at_once = 0
        self._failures = list(failures)
        self.wrote = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, status):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.may_end.wait()
        self.at_once -= 1
        if self._failures:
            raise self._failures.pop(0)
        self.statuses.append(dict(status))
        self.wrote.set()


@pytest.fixture
async def reporting():
    reporters = []

    def new(write, every=3600.0, gone=lambda: None):
        reporters.append(Reporter("default/m", write, gone=gone, every=timedelta(seconds=every)))
        return reporters[-1]

    yield new
    for each in reporters:
        await each.stop()


async def test_a_transition_is_written_at_once_with_the_progress_of_that_moment(reporting):
    written = Written()
    reporter = reporting(written)
    reporter.put({"phase": "a", "progress": 1})
    await reporter.flush()
    reporter.put({"phase": "b", "progress": 2})
    await reporter.flush()
    assert written.statuses == [{"phase": "a", "progress": 1}, {"phase": "b", "progress": 2}]


async def test_mere_progress_waits_its_time(reporting):
    written = Written()
    reporter = reporting(written)
    reporter.put({"phase": "a", "progress": 1})
    await reporter.flush()
    for value in range(2, 50):
        reporter.put({"phase": "a", "progress": value})
        await asyncio.sleep(0)
    assert len(written.statuses) == 1
    reporter.put({"phase": "b", "progress": 50})
    await reporter.flush()
    assert written.statuses[1:] == [{"phase": "b", "progress": 50}]


async def test_mere_progress_is_written_when_its_time_has_come(reporting):
    written = Written()
    reporter = reporting(written, every=0.05)
    reporter.put({"phase": "a", "progress": 1})
    await reporter.flush()
    written.wrote.clear()
    reporter.put({"phase": "a", "progress": 2})
    async with asyncio.timeout(10):
        await written.wrote.wait()
    assert written.statuses[-1]["progress"] == 2


async def test_the_same_status_is_not_written_twice(reporting):
    written = Written()
    reporter = reporting(written, every=0)
    for _ in range(5):
        reporter.put({"phase": "a"})
        await reporter.flush()
    assert len(written.statuses) == 1


async def test_one_write_is_in_flight_and_then_only_the_latest_follows(reporting):
    written = Written()
    written.may_end.clear()
    reporter = reporting(written)
    for phase in "abcdef":
        reporter.put({"phase": phase})
        await asyncio.sleep(0)
    written.may_end.set()
    await reporter.flush()
    assert written.most_at_once == 1
    assert [status["phase"] for status in written.statuses] == ["a", "f"]


@pytest.mark.parametrize(
    "failure", [ApiException(status=500), UnavailableError("no answer"), RuntimeError("unforeseen")]
)
async def test_what_fails_is_tried_again(reporting, failure):
    written = Written(failure)
    reporter = reporting(written)
    reporter.put({"phase": "a"})
    async with asyncio.timeout(10):
        await reporter.flush()
    assert written.statuses == [{"phase": "a"}]


async def test_what_somebody_else_has_written_meanwhile_only_delays_a_write(reporting):
    written = Written(ConflictError({"metadata": {"name": "m"}}))
    reporter = reporting(written)
    reporter.put({"phase": "a"})
    await reporter.flush()
    assert written.statuses == [{"phase": "a"}]


async def test_somebody_who_writes_without_a_pause_does_not_silence_it(reporting):
    written = Written(*[ConflictError({"metadata": {"name": "m"}})] * 20)
    reporter = reporting(written)
    reporter.put({"phase": "a"})
    async with asyncio.timeout(7):  # nine on the average, with delays up to a second
        await reporter.flush()
    assert written.statuses == [{"phase": "a"}]


async def test_an_object_that_is_gone_is_written_to_no_more_and_that_is_told(reporting):
    written = Written(ApiException(status=404))
    gone = asyncio.Event()
    reporter = reporting(written, gone=gone.set)
    reporter.put({"phase": "a"})
    with pytest.raises(ObjectGoneError):
        await reporter.flush()
    async with asyncio.timeout(10):
        await gone.wait()
    assert written.statuses == []
