from datetime import timedelta

import pytest

from vmferry_agent.decisions.ramp import interval, ramp_downtime, step_downtime
from vmferry_api.policies import DowntimeRamp

GIB = 2**30
VDSM = DowntimeRamp()


def ms(value: float) -> timedelta:
    return timedelta(milliseconds=value)


@pytest.mark.parametrize(
    ("ramp", "downtimes"),
    [
        (VDSM, [101, 104, 120, 189, 500]),
        (DowntimeRamp(max=ms(500), steps=10), [51, 51, 53, 57, 65, 79, 108, 165, 278, 500]),
        (DowntimeRamp(max=ms(2000), steps=2), [1001, 2000]),
    ],
)
def test_the_steps_are_vdsm_s(ramp, downtimes):
    assert [step_downtime(ramp, step) for step in range(ramp.steps)] == [ms(each) for each in downtimes]


@pytest.mark.parametrize(("memory", "seconds"), [(GIB, 20), (2 * GIB, 40), (64 * GIB, 60), (GIB // 8, 2.5)])
def test_the_time_between_two_steps_grows_with_memory_up_to_a_minute(memory, seconds):
    assert interval(VDSM, memory) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "downtime"), [(None, 101), (0, 101), (19.9, 101), (20, 104), (80, 500), (10_000, 500)]
)
def test_the_ramp_begins_with_the_end_of_the_first_pass(seconds, downtime):
    since = None if seconds is None else timedelta(seconds=seconds)
    assert ramp_downtime(VDSM, GIB, since) == ms(downtime)
