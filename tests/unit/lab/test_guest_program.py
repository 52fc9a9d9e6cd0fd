"""The program that guests boot, and where in their memory its areas lie."""

import pytest

from vmferry_lab.errors import LabError
from vmferry_lab.guests.compiler import compiled_program
from vmferry_lab.guests.image import (
    MAX_COLD,
    MAX_RATE,
    PAGE,
    UNIT,
    GuestSpec,
    rate_units,
)

MIB = 2**20
GIB = 2**30


def test_the_program_fits_in_what_the_boot_sector_reads():
    assert len(compiled_program()) <= (1 + 16) * 512


@pytest.mark.parametrize(
    ("rate", "units"),
    [(0, 0), (UNIT // 2 - 1, 0), (UNIT, 1), (80_000_000, 78), (MAX_RATE, 254)],
)
def test_a_rate_is_rounded_to_pages_a_tick(rate, units):
    assert rate_units(rate) == units


@pytest.mark.parametrize("memory", [64 * MIB, 128 * MIB, GIB, 3 * GIB, 4 * GIB])
def test_table_working_set_and_cold_pages_lie_one_behind_the_other_inside_the_memory(memory):
    spec = GuestSpec(name="vm", memory=memory, working_set=32 * MIB)
    assert spec.hot_address >= MIB + spec.hot_pages * 4
    assert spec.cold_address == spec.hot_address + 32 * MIB
    assert spec.cold_address + spec.cold_pages * PAGE <= min(memory, 3 * GIB) - MIB
    assert spec.cold_pages * PAGE <= MAX_COLD


def test_a_small_guest_uses_all_of_its_memory():
    spec = GuestSpec(name="vm", memory=128 * MIB, working_set=64 * MIB)
    assert spec.cold_address + spec.cold_pages * PAGE == 127 * MIB


def test_as_much_is_cold_as_is_asked_for():
    assert GuestSpec(name="vm", memory=2 * GIB, cold=GIB).cold_pages == GIB // PAGE


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"memory": 64 * MIB}, "working set must be from 4096 to 64946176 bytes"),
        ({"cold": 128 * MIB}, "cold must be from 0 to 64946176 bytes"),
        ({"cold": -1}, "cold must be"),
        ({"name": "../vm"}, "a name is"),
    ],
)
def test_a_refusal_says_what_could_be_done(asked, told):
    with pytest.raises(LabError, match=told):
        GuestSpec(**{"name": "vm", **asked})


def test_the_largest_working_set_that_a_refusal_names_is_accepted():
    assert GuestSpec(name="vm", memory=64 * MIB, working_set=64946176).cold_pages == 0
    with pytest.raises(LabError):
        GuestSpec(name="vm", memory=64 * MIB, working_set=64946176 + PAGE)
