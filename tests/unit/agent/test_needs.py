"""What a VM needs is told anew where it has changed, and not with each byte that its disks grow."""

import pytest
from scripted_hypervisor import HARDWARE

from vmferry_agent.decisions.needs import worth_telling
from vmferry_api.migrations import Disk, Hardware

GIB = 2**30


def disks(*sizes: int | None, path: str = "/d/1", copied: bool = True) -> Hardware:
    return HARDWARE.replace(disks=[Disk(path=path, copied=copied, size=size) for size in sizes])


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, HARDWARE, True),
        (HARDWARE, None, True),
        (HARDWARE, HARDWARE.replace(machine="pc-q35-9.0"), True),
        (disks(GIB), disks(GIB, GIB), True),
        (disks(GIB), disks(GIB, path="/d/2"), True),
        (disks(GIB), disks(GIB, copied=False), True),
        (disks(GIB), disks(None), True),
        (disks(None), disks(GIB), True),
        (disks(GIB, GIB), disks(GIB, 2 * GIB), True),
        (disks(GIB), disks(GIB // 2), True),
        (disks(GIB), disks(GIB + GIB // 20), False),
        (disks(GIB, None), disks(GIB - 1, None), False),
        (disks(0), disks(1), True),
    ],
)
def test_growth_by_little_is_no_news(before: Hardware | None, now: Hardware | None, *, told: bool) -> None:
    assert worth_telling(before, now) is (now if told else before)
