from datetime import UTC, datetime, timedelta

from vmferry_api.conditions import ConditionType, Status, condition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def test_the_transition_time_stays_while_the_status_does():
    old = condition([], ConditionType.RUNNING, Status.TRUE, "A", now=NOW)
    new = condition([old], ConditionType.RUNNING, Status.TRUE, "B", "other words", now=LATER)
    assert (new.last_transition_time, new.reason) == (NOW, "B")


def test_the_transition_time_is_now_when_the_status_changes():
    old = condition([], ConditionType.RUNNING, Status.TRUE, "A", now=NOW)
    assert condition([old], ConditionType.RUNNING, Status.FALSE, "A", now=LATER).last_transition_time == LATER


def test_conditions_of_other_types_do_not_count():
    old = condition([], ConditionType.ACCEPTED, Status.TRUE, "A", now=NOW)
    assert condition([old], ConditionType.RUNNING, Status.TRUE, "A", now=LATER).last_transition_time == LATER
