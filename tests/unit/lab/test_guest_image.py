import struct

import pytest

from vmferry_lab.errors import LabError
from vmferry_lab.guests.image import MAX_RATE, UNIT, GuestSpec, Pattern, disk_image

MIB = 2**20


def test_an_image_boots_and_carries_its_parameters():
    spec = GuestSpec(name="g", dirty_rate=10 * UNIT, working_set=4 * MIB, pattern=Pattern.RANDOM)
    image = disk_image(spec)
    assert image[510:512] == b"\x55\xaa"
    assert struct.unpack_from("<4I", image, 512) == (10, 1, 1024, spec.cold_pages)


def test_all_areas_fit_into_the_memory():
    spec = GuestSpec(name="g", memory=128 * MIB, working_set=100 * MIB)
    table = spec.hot_pages * 4
    assert MIB + table + (spec.hot_pages + spec.cold_pages) * 4096 <= 128 * MIB


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"memory": 16 * MIB}, "memory must be from 32Mi to 4Gi"),
        ({"memory": 4097 * MIB}, "memory must be from 32Mi to 4Gi"),
        ({"dirty_rate": MAX_RATE + 1}, "dirty rate must be from 0 to"),
        ({"dirty_rate": -1}, "dirty rate must be from 0 to"),
        ({"working_set": 128 * MIB}, "working set must be from 4096 to"),
        ({"working_set": 0}, "working set must be from 4096 to"),
    ],
)
def test_what_a_guest_can_t_do_is_refused(words, says):
    with pytest.raises(LabError, match=says):
        GuestSpec(name="g", **words)
