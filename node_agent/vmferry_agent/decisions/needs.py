"""When what a VM needs of its target has changed so that it is worth telling."""

from vmferry_api.migrations import Disk, Hardware

GROWTH = 0.1
"""By less than this part of itself a disk grows with what its guest writes, and nobody need know."""


def worth_telling(before: Hardware | None, now: Hardware | None) -> Hardware | None:
    """What to tell: what was told before, unless more than the sizes of disks has changed, or one by much."""
    if before is None or now is None or before.replace(disks=[]) != now.replace(disks=[]):
        return now
    if len(before.disks) != len(now.disks):
        return now
    return before if all(map(_is_same, before.disks, now.disks)) else now


def _is_same(before: Disk, now: Disk) -> bool:
    if before.size is None or now.size is None or before.replace(size=now.size) != now:
        return before == now
    return abs(now.size - before.size) <= before.size * GROWTH
