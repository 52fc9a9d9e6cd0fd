"""What is done about an interrupted post-copy, as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from vmferry_agent.decisions.recovery import (
    LONGEST_BACKOFF,
    NOT_YET,
    SILENT,
    Flow,
    Step,
    backoff,
    flow,
    next_step,
    stood_still,
)
from vmferry_api.migrations import Recovery
from vmferry_api.policies import PostCopyRecovery

NOW = datetime(2026, 1, 1, tzinfo=UTC)
A_MOMENT = timedelta(milliseconds=100)
TEN = PostCopyRecovery(attempts=10, backoff=timedelta(seconds=5))


@pytest.mark.parametrize(
    ("failed", "silent_for", "moved_since", "expected"),
    [
        (False, A_MOMENT, False, Flow.FLOWS),
        (False, SILENT, False, Flow.SILENT),
        (True, A_MOMENT, False, Flow.BROKEN),
        (True, SILENT, False, Flow.BROKEN),
        (True, A_MOMENT, True, Flow.APART),
        (True, SILENT, True, Flow.BROKEN),
    ],
)
def test_how_it_goes_follows_from_libvirt_s_word_and_the_bytes(
    *, failed: bool, silent_for: timedelta, moved_since: bool, expected: Flow
) -> None:
    assert flow(failed=failed, silent_for=silent_for, moved_since_failure=moved_since) is expected


def step(
    how: Flow,
    *,
    tries: int = 0,
    since_try: float | None = None,
    since_asked: float | None = None,
    target_failed: bool = False,
    calling: bool = False,
    wanted: PostCopyRecovery = TEN,
) -> Step:
    last_try = None if since_try is None else NOW - timedelta(seconds=since_try)
    return next_step(
        how,
        Recovery(since=NOW, tries=tries, last_try=last_try),
        wanted,
        now=NOW,
        asked_at=None if since_asked is None else NOW - timedelta(seconds=since_asked),
        target_failed=target_failed,
        calling=calling,
        seed="uid",
    )


def test_while_memory_flows_nothing_is_done_whatever_libvirt_says() -> None:
    assert step(Flow.FLOWS) is Step.WAIT
    assert step(Flow.APART) is Step.WAIT


def test_a_silent_link_is_waited_for_until_the_target_s_end_is_dead() -> None:
    assert step(Flow.SILENT, calling=True) is Step.WAIT
    assert step(Flow.SILENT, calling=True, target_failed=True) is Step.BREAK


def test_a_broken_one_is_taken_up_at_once_and_then_with_growing_distance() -> None:
    assert step(Flow.BROKEN) is Step.RESUME
    assert step(Flow.BROKEN, tries=1, since_try=1) is Step.WAIT
    assert step(Flow.BROKEN, tries=1, since_try=5) is Step.RESUME
    assert step(Flow.BROKEN, tries=2, since_try=7) is Step.WAIT
    assert step(Flow.BROKEN, tries=2, since_try=10) is Step.RESUME


def test_nothing_is_begun_while_a_call_has_not_returned() -> None:
    assert step(Flow.BROKEN, calling=True) is Step.WAIT


def test_a_stream_that_is_still_held_is_asked_for_again_soon() -> None:
    assert step(Flow.BROKEN, since_asked=1) is Step.WAIT
    assert step(Flow.BROKEN, since_asked=NOT_YET.total_seconds()) is Step.RESUME


def test_it_is_given_up_after_as_many_tries_as_the_policy_says_and_an_edit_goes_on() -> None:
    assert step(Flow.BROKEN, tries=10, since_try=3600) is Step.GIVE_UP
    assert step(Flow.BROKEN, tries=10, since_try=3600, wanted=TEN.replace(attempts=11)) is Step.RESUME
    assert step(Flow.BROKEN, wanted=TEN.replace(attempts=0)) is Step.GIVE_UP


def test_the_wait_is_bounded_and_differs_between_migrations() -> None:
    waits = [backoff(TEN, tries, "uid") for tries in range(1000)]
    assert waits[0] == timedelta(0)
    assert max(waits) <= LONGEST_BACKOFF
    assert min(waits[1:]) >= TEN.backoff * 0.8
    assert len({backoff(TEN, 1, str(seed)) for seed in range(20)}) > 10
    hourly = TEN.replace(backoff=timedelta(hours=1))
    assert timedelta(minutes=48) <= backoff(hourly, 9, "uid") <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("since", "again", "lasted"),
    [(10, None, 10), (100, 10, 10), (10, 10, 10), (-1, None, 0)],
    ids=["one", "the last of several", "at once", "a clock that was set back"],
)
def test_an_interruption_lasts_from_when_it_began_last(
    since: float, again: float | None, lasted: float
) -> None:
    def ago(seconds: float) -> datetime:
        return NOW - timedelta(seconds=seconds)

    recovery = Recovery(since=ago(since), again=None if again is None else ago(again))
    assert stood_still(recovery, NOW) == timedelta(seconds=lasted)
