from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry_api.durations import format_duration, parse_duration
from vmferry_api.quantities import format_quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("150ms", 0.15),
        ("10s", 10),
        ("2m30s", 150),
        ("1.5s", 1.5),
        ("24h", 86400),
        ("0s", 0),
        ("1h0m5s", 3605),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "-5s", "1d", "1 s", "1e3s", "PT5S", "10s\n", "9999999s", "1s" * 11]
)
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


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64Mi", 64 * 2**20),
        ("1G", 10**9),
        ("80M", 80_000_000),
        ("52428800", 52428800),
        ("1.5Gi", 1536 * 2**20),
        ("0.1", 1),
    ],
)
def test_a_quantity_is_read(text, size):
    assert parse_quantity(text) == size


@pytest.mark.parametrize("text", ["", "fast", "4GB", "-1Mi", "1e3", "Mi", "64 Mi"])
def test_what_is_no_quantity_is_refused_by_name(text):
    with pytest.raises(ValueError, match="is not a quantity such as"):
        parse_quantity(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_a_quantity_survives_writing_and_reading(size):
    assert parse_quantity(format_quantity(size)) == size
