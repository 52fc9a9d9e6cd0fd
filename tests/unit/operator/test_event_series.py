"""Events that come again are counted, and there are never too many."""

from datetime import datetime, timedelta

import pytest
from migrations_in_words import NOW, after

from vmferry_operator.decisions.events import Event, Reason
from vmferry_operator.event_series import (
    BURST,
    MOST_WAITING,
    OVER_AFTER,
    REFILL,
    UPDATE_EVERY,
    EventSeries,
    Regarding,
    Series,
)

STALLING = Event(reason=Reason.MIGRATION_STALLING, action="WatchProgress", note="1.28s", counted=True)
STEP = Event(reason=Reason.STEP_TAKEN, action="SetMaxDowntime", note="step 1")


def vm(name: str = "db-1", uid: str | None = None) -> Regarding:
    return Regarding(kind="VMMigration", namespace="prod", name=name, uid=uid or name)


def write_all(series: EventSeries, now: datetime) -> list[tuple[str, str, int]]:
    """What is written by now: reason, note, count."""
    written = []
    while (due := series.due(now)) is not None:
        written.append((str(due.event.reason), due.event.note, due.count))
        series.written(due, due.count, now=now)
    return written


@pytest.fixture
def series() -> EventSeries:
    return EventSeries()


def test_what_happens_is_written_in_its_order(series: EventSeries) -> None:
    for each in (STALLING, STEP):
        series.add(each, vm(), now=NOW)
    assert write_all(series, after(1)) == [("MigrationStalling", "1.28s", 1), ("StepTaken", "step 1", 1)]
    assert series.next_due() is None


def test_a_repetition_is_counted_and_the_count_written_seldom(series: EventSeries) -> None:
    series.add(STALLING, vm(), now=NOW)
    write_all(series, after(1))
    for second in range(2, 7):
        series.add(STALLING, vm(), now=after(second))
    assert write_all(series, after(7)) == []
    assert series.next_due() == after(1) + UPDATE_EVERY
    assert write_all(series, after(1) + UPDATE_EVERY) == [("MigrationStalling", "1.28s", 6)]


def test_another_note_is_another_event_unless_it_is_one_of_those_that_are_counted(
    series: EventSeries,
) -> None:
    for note in ("one", "two"):
        for event in (STALLING, STEP):
            series.add(
                Event(reason=event.reason, action=event.action, note=note, counted=event.counted),
                vm(),
                now=NOW,
            )
    assert write_all(series, after(1)) == [
        ("MigrationStalling", "one", 2),
        ("StepTaken", "one", 1),
        ("StepTaken", "two", 1),
    ]


def test_objects_and_actions_are_not_mixed_up(series: EventSeries) -> None:
    other_action = Event(reason=STEP.reason, action="Suspend", note=STEP.note)
    for event, of in ((STEP, vm()), (STEP, vm("db-1", "another")), (other_action, vm())):
        series.add(event, of, now=NOW)
    assert [count for _, _, count in write_all(series, after(1))] == [1, 1, 1]


def test_after_a_long_pause_it_is_a_new_event(series: EventSeries) -> None:
    series.add(STALLING, vm(), now=NOW)
    write_all(series, after(1))
    later = NOW + OVER_AFTER + timedelta(seconds=2)
    series.add(STALLING, vm(), now=later)
    assert write_all(series, later + timedelta(seconds=1)) == [("MigrationStalling", "1.28s", 1)]


def test_what_is_counted_while_it_is_written_is_written_once_more(series: EventSeries) -> None:
    series.add(STALLING, vm(), now=NOW)
    due = series.due(after(1))
    assert due is not None
    series.add(STALLING, vm(), now=after(1))
    series.written(due, 1, now=after(1))
    assert write_all(series, after(2)) == []
    assert write_all(series, after(30)) == [("MigrationStalling", "1.28s", 2)]


def test_one_that_the_api_server_has_forgotten_is_created_again(series: EventSeries) -> None:
    series.add(STALLING, vm(), now=NOW)
    write_all(series, after(1))
    series.add(STALLING, vm(), now=after(2))
    due = series.due(after(60))
    assert due is not None
    assert due.exists
    series.vanished(due)
    again = series.due(after(60))
    assert again is due
    assert not again.exists


def test_names_differ_sort_by_time_and_are_names_whatever_the_object_is_called(series: EventSeries) -> None:
    names = []
    for number in range(3):
        series.add(STEP, vm("x" * 229 + ".-" + "y" * 20, f"uid-{number}"), now=NOW)
    while (due := series.due(after(1))) is not None:
        names.append(due.name)
        assert due.first.microsecond != 0
        series.written(due, 1, now=NOW)
    assert names == sorted(set(names))
    assert all(len(name) <= 253 and ".." not in name and "-." not in name for name in names)


def test_an_object_that_has_too_many_has_them_dropped_and_others_not(series: EventSeries) -> None:
    def step(number: int) -> Event:
        return Event(reason=STEP.reason, action=STEP.action, note=f"step {number}")

    taken = [series.add(step(number), vm(), now=NOW) for number in range(BURST + 5)]
    assert (taken.count(True), series.dropped) == (BURST, 5)
    assert series.add(STEP, vm("other"), now=NOW)
    assert series.add(step(0), vm(), now=NOW), "a repetition is no new one"
    assert series.add(step(99), vm(), now=NOW + REFILL + timedelta(seconds=1))


def test_while_nothing_can_be_written_only_so_many_are_kept(series: EventSeries) -> None:
    for number in range(MOST_WAITING + 7):
        series.add(STEP, vm(f"vm-{number}"), now=NOW)
    assert series.dropped == 7
    assert len(write_all(series, after(1))) == MOST_WAITING
    assert series.add(STEP, vm("later"), now=after(2))


def test_it_does_not_grow_for_ever(series: EventSeries) -> None:
    for number in range(12_000):
        series.add(STEP, vm(f"vm-{number}"), now=after(number))
        write_all(series, after(number + 1))
    assert len(series._known) <= 5000
    assert len(series._allowances) <= 5000
    assert series.dropped == 0


def test_one_that_is_refused_is_dropped_and_counted(series: EventSeries) -> None:
    series.add(STEP, vm(), now=NOW)
    due = series.due(after(1))
    assert isinstance(due, Series)
    series.refused(due)
    assert (series.due(after(99)), series.dropped) == (None, 1)


def test_one_that_fails_for_now_lets_the_others_go_first_and_counts_its_tries_until_it_is_written(
    series: EventSeries,
) -> None:
    for each in (STALLING, STEP):
        series.add(each, vm(), now=NOW)
    stalling = series.due(after(1))
    assert stalling is not None
    for tries in (1, 2):
        series.failed(stalling, again=after(10 * tries))
        assert stalling.tries == tries
    assert write_all(series, after(2)) == [("StepTaken", "step 1", 1)]
    assert series.next_due() == after(20)
    assert write_all(series, after(20)) == [("MigrationStalling", "1.28s", 1)]
    assert stalling.tries == 0


def test_one_that_was_dropped_has_all_its_tries_again_when_it_comes_again(series: EventSeries) -> None:
    series.add(STEP, vm(), now=NOW)
    due = series.due(after(1))
    assert due is not None
    series.failed(due, again=after(2))
    series.refused(due)
    series.add(STEP, vm(), now=after(3))
    assert series.due(after(4)) is due
    assert due.tries == 0


def test_what_another_operator_has_told_is_forgotten_and_what_came_later_is_written(
    series: EventSeries,
) -> None:
    series.add(STEP, vm(), now=NOW)
    series.add(STALLING, vm(), now=after(5))
    series.discard(after(3))
    assert write_all(series, after(6)) == [("MigrationStalling", "1.28s", 1)]
    series.add(STEP, vm(), now=after(7))
    assert write_all(series, after(8)) == [("StepTaken", "step 1", 1)], "a new one, and no repetition"


def test_a_standby_never_has_more_than_what_its_leader_may_not_have_told(series: EventSeries) -> None:
    for second in range(3 * MOST_WAITING):
        series.add(STEP, vm(f"db-{second}"), now=after(second))
        series.discard(after(second - 1))
    assert len(write_all(series, after(9 * MOST_WAITING))) <= 2
    assert series.dropped == 0
