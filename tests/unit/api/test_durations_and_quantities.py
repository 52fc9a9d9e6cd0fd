from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry_api.durations import format_duration, parse_duration
from vmferry_api.quantities import format_quantity, parse_quantity
from written_values import DURATIONS, NO_DURATIONS, NO_QUANTITIES, QUANTITIES


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
