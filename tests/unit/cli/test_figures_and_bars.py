"""How sizes, times and bars are written."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from migrations_shown import at

from kubectl_vmferry.views.bars import bar, curve, log_part
from kubectl_vmferry.views.figures import clock, downtime, rate, seconds, size, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (2048, "2 KiB"),
        (535 * 2**20, "535 MiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (2**45, "32 TiB"),
    ],
)
def test_a_size_has_the_unit_that_suits_it(value, text):
    assert size(value) == text


def test_a_rate_is_a_size_in_a_second():
    assert rate(50 * 2**20) == "50 MiB/s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (2.41, "2.4 s"),
        (12.4, "12 s"),
        (60, "1 m"),
        (65, "1 m 5 s"),
        (7500, "2 h 5 m"),
        (2 * 86400, "2 d"),
    ],
)
def test_a_time_is_told_in_its_two_largest_units(value, text):
    assert span(timedelta(seconds=value)) == text


def test_what_is_shown_anew_each_moment_has_whole_seconds():
    assert seconds(timedelta(seconds=2.4)) == "2 s"


def test_the_time_of_day_has_the_date_where_that_is_another_one():
    assert clock(at(5), at(60)) == "12:00:05"
    assert clock(at(-86400), at(60)) == "2026-11-29 12:00:00"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.1, "100ms"), (1.28, "1.28s"), (12.3456, "12.3s")]
)
def test_a_downtime_is_written_as_the_api_writes_it(value, text):
    assert downtime(None if value is None else timedelta(seconds=value)) == text


@given(st.floats(-1, 2), st.integers(1, 60))
def test_a_bar_has_its_width_whatever_the_part(part, width):
    assert len(bar(part, width)) == width


def test_a_bar_is_as_full_as_its_part():
    assert (bar(0, 4), bar(0.5, 4), bar(1, 4), bar(9, 4)) == ("░░░░", "██░░", "████", "████")


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_place_on_the_scale_is_within_it(value, longest):
    assert 0 <= log_part(value, longest) <= 1


def test_a_decade_is_a_third_of_the_scale():
    assert log_part(0.1, 1.0) == pytest.approx(2 / 3)


def test_a_curve_falls_as_its_values_do():
    assert curve([8, 4, 1]) == "█▄▁"
    assert curve([0, 0]) == "▁▁"


def test_a_curve_shows_a_small_fall_as_one_and_fills_nothing_with_noise():
    assert curve([1.33, 1.27, 1.21]) == "▄▂▁"
    assert curve([1.0, 1.01, 1.0]) == "▁▁▁"
    assert curve([2.0, 2.0]) == "▁▁"
