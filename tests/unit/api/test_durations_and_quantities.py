import re
from calendar import isleap
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from vmferry_api.durations import LONGEST, Duration, format_duration, parse_duration
from vmferry_api.moments import EARLIEST, LATEST, PATTERN, AnyMoment, Moment
from vmferry_api.quantities import MOST, Quantity, format_quantity, parse_quantity
from written_values import DURATIONS, NO_DURATIONS, NO_QUANTITIES, QUANTITIES

NO_DAYS = {"02-30", "02-31", "04-31", "06-31", "09-31", "11-31"}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items(), ids=DURATIONS)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_what_is_no_duration_is_refused_by_name(text):
    with pytest.raises(ValueError, match="is not a duration such as"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**9))
def test_a_duration_survives_writing_and_reading(milliseconds):
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (95, "95ms"),
        (1280, "1.28s"),
        (60_000, "1m"),
        (150_000, "2m30s"),
        (3_600_000, "1h"),
    ],
)
def test_a_duration_is_written_in_the_largest_units(milliseconds, text):
    assert format_duration(timedelta(milliseconds=milliseconds)) == text


@pytest.mark.parametrize(("text", "size"), [*QUANTITIES.items(), ("0.1", 1)])
def test_a_quantity_is_read(text, size):
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", NO_QUANTITIES)
def test_what_is_no_quantity_is_refused_by_name(text):
    with pytest.raises(ValueError, match="is not a quantity such as"):
        parse_quantity(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_a_quantity_survives_writing_and_reading(size):
    assert parse_quantity(format_quantity(size)) == size


@pytest.mark.parametrize(
    ("kind", "given", "want"),
    [
        (Duration, "999999h999999h99999h", LONGEST),
        (Duration, timedelta(days=400), LONGEST),
        (Duration, timedelta(seconds=-3), timedelta(0)),
        (Duration, "8760h", LONGEST),
        (Quantity, "99999999999999P", MOST),
        (Quantity, 2**63, MOST),
        (Quantity, -5, 0),
        (Quantity, str(MOST), MOST),
        (Moment, "9999-12-31T23:59:59-23:59", LATEST),
        (Moment, "0001-01-01T00:00:00+23:59", EARLIEST),
        (Moment, datetime.max.replace(tzinfo=UTC), LATEST),
        (Moment, "1970-01-01T00:00:00Z", EARLIEST),
    ],
)
def test_what_is_beyond_all_bounds_is_taken_for_the_nearest_that_is_not(kind, given, want):
    assert TypeAdapter(kind).validate_python(given) == want


def test_the_longest_duration_after_the_latest_moment_is_a_moment_still():
    assert LATEST + 100 * LONGEST > LATEST


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 1),
        max_value=datetime(2199, 12, 31),
        timezones=st.builds(timezone, st.integers(-1439, 1439).map(lambda each: timedelta(minutes=each))),
    )
)
def test_a_moment_is_written_as_the_schema_wants_it(moment):
    written = TypeAdapter(Moment).dump_json(TypeAdapter(Moment).validate_python(moment)).decode().strip('"')
    assert re.fullmatch(PATTERN, written)
    assert TypeAdapter(Moment).validate_python(written) == min(max(moment, EARLIEST), LATEST)


@given(st.from_regex(PATTERN, fullmatch=True))
def test_a_moment_that_the_schema_takes_is_read_unless_there_is_no_such_day(text):
    try:
        read = TypeAdapter(Moment).validate_python(text)
    except ValidationError:
        assert text[5:10] in NO_DAYS or (text[5:10] == "02-29" and not isleap(int(text[:4])))
        assert TypeAdapter(AnyMoment).validate_python(text) == LATEST
    else:
        assert TypeAdapter(AnyMoment).validate_python(text) == read


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-01-01T00:00:00+99:99",
        "2026-01-01T00:00:00x5Z",
        "2026-01-01T00:00:00",
        "2026-01-32T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01",
    ],
)
def test_a_moment_that_can_t_be_or_can_t_be_read_is_not_taken_by_the_schema(text):
    assert not re.search(PATTERN, text)
