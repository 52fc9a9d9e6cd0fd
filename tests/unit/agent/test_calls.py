"""Calls that may hang, and those about the same that come after."""

import asyncio
import threading

import pytest

from vmferry_agent.hypervisor.calls import HangingCalls

PATIENCE = 10.0


@pytest.fixture
def hang():
    """A call that hangs until it is let go on."""
    goes_on = threading.Event()

    def call():
        goes_on.wait(PATIENCE)

    call.goes_on = goes_on
    yield call
    goes_on.set()


async def abandon(calls, call):
    with pytest.raises(TimeoutError):
        await calls.call(call, about="vm", deadline=0.01)


async def test_what_hangs_is_not_asked_again_until_it_has_answered(hang):
    calls, asked = HangingCalls(), []
    await abandon(calls, hang)
    with pytest.raises(TimeoutError, match="has not answered an earlier call yet"):
        await calls.call(lambda: asked.append(True), about="vm", deadline=PATIENCE)
    assert not asked
    hang.goes_on.set()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await calls.call(lambda: asked.append(True), about="vm", deadline=PATIENCE)
            except TimeoutError:
                await asyncio.sleep(0.01)
            else:
                break
    assert asked


async def test_what_hangs_holds_up_nothing_else(hang):
    calls = HangingCalls()
    await abandon(calls, hang)
    assert await calls.call(lambda: "answer", about="another", deadline=PATIENCE) == "answer"
    assert await calls.call(lambda: "answer", about=None, deadline=PATIENCE) == "answer"


async def test_of_two_that_were_asked_at_once_the_one_that_answers_says_nothing_of_the_one_that_hangs(hang):
    calls = HangingCalls()
    late = threading.Event()
    first = asyncio.create_task(abandon(calls, hang))
    second = asyncio.create_task(calls.call(lambda: late.wait(PATIENCE), about="vm", deadline=PATIENCE))
    await first
    late.set()
    assert await second
    with pytest.raises(TimeoutError, match="has not answered an earlier call yet"):
        await calls.call(lambda: "answer", about="vm", deadline=PATIENCE)


async def test_of_two_that_hang_both_must_answer(hang):
    calls, other = HangingCalls(), threading.Event()
    await asyncio.gather(abandon(calls, hang), abandon(calls, lambda: other.wait(PATIENCE)))
    other.set()
    for _ in range(20):  # the one that was abandoned last has its answer by now, or soon
        with pytest.raises(TimeoutError, match="has not answered an earlier call yet"):
            await calls.call(lambda: "answer", about="vm", deadline=PATIENCE)
        await asyncio.sleep(0.01)


async def test_a_call_that_fails_holds_up_nothing():
    def fails():
        raise ValueError("no")

    calls = HangingCalls()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await calls.call(fails, about="vm", deadline=PATIENCE)
