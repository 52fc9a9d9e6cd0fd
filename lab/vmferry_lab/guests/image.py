"""The disk image that a guest boots from."""

import re
import struct
from dataclasses import dataclass
from enum import Enum

from vmferry_lab.errors import LabError
from vmferry_lab.guests.compiler import compiled_program

PAGE = 4096
TICKS = 250
"""A second."""
UNIT = PAGE * TICKS
"""Bytes per second: what one page a tick is, and the granularity of rates (1.024 MB/s).

A tick of the timer is 1193182 / 4772 Hz, 250.04 a second. What a guest is asked for is rounded to this unit; what
it writes is exact, as long as it gets the processor for each tick.
"""
MAX_RATE = 254 * UNIT
"""260 MB/s: what fits in the register by which the rate is changed at run time (255 there is none at all)."""
MAX_COLD = 512 * 2**20
"""Bytes of the rest of the memory that are used by default: more would make large guests slow to boot."""
_MIB = 2**20
_LOW = _MIB
"""Where the guest's own areas begin; below are the BIOS and the program."""
_TOP = _MIB
"""Left to the BIOS at the end of memory."""
_LEAST_MEMORY, _MOST_MEMORY = 32 * _MIB, 4096 * _MIB
_REACHED = 3072 * _MIB
"""What lies below the hole for devices: a guest of more memory leaves the rest alone."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
_TIMER = 1_193_182
_SECTOR = 512
_PARAMETERS_AT = _SECTOR
_SIZE = _MIB


class Pattern(Enum):
    """How the working set is written."""

    SEQUENTIAL = 0
    """Page after page, a word in each: what XBZRLE makes small."""
    RANDOM = 1
    """Pages at random, a word in each; some twice, so that fewer are dirty after a while than were written."""
    INCOMPRESSIBLE = 2
    """Page after page, all of each, with words that no compression makes smaller."""


@dataclass(frozen=True, kw_only=True)
class GuestSpec:
    """What a guest does.

    Raises:
        LabError: It can't be done.
    """

    name: str
    memory: int = 128 * _MIB
    """Bytes."""
    dirty_rate: int = 80_000_000
    """Bytes of pages written per second, rounded to UNIT; 0 writes none."""
    working_set: int = 64 * _MIB
    """Bytes that are written over and over."""
    pattern: Pattern = Pattern.SEQUENTIAL
    cold: int | None = None
    """Bytes that are written once, at boot, and checked ever after; by default the rest, up to MAX_COLD."""
    local_disk: bool = False
    """Whether it has a second disk, which is on its host alone; the guest itself does not use it."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise LabError(
                f"guest {self.name!r}: a name is up to 50 letters, digits, dots, dashes, underscores"
            )
        if not _LEAST_MEMORY <= self.memory <= _MOST_MEMORY:
            raise LabError(f"guest {self.name}: memory must be from 32Mi to 4Gi, not {self.memory} bytes")
        if not 0 <= self.dirty_rate <= MAX_RATE:
            raise LabError(f"guest {self.name}: dirty rate must be from 0 to {MAX_RATE} bytes per second")
        if self.working_set < PAGE or self._pages_left < 0:
            most = (self._pages * PAGE // (PAGE + 4)) * PAGE
            raise LabError(
                f"guest {self.name}: working set must be from {PAGE} to {most} bytes, not {self.working_set}"
            )
        if self.cold is not None and not 0 <= self.cold <= self._pages_left * PAGE:
            raise LabError(
                f"guest {self.name}: cold must be from 0 to {self._pages_left * PAGE} bytes, all that the "
                f"working set leaves, not {self.cold}"
            )

    @property
    def hot_pages(self) -> int:
        """Pages of the working set."""
        return self.working_set // PAGE

    @property
    def cold_pages(self) -> int:
        """Pages that are written once, and checked."""
        if self.cold is not None:
            return self.cold // PAGE
        return min(self._pages_left, MAX_COLD // PAGE)

    @property
    def hot_address(self) -> int:
        """Where the working set begins; before it is the table of how often each of its pages was written."""
        return _LOW + self._table_pages * PAGE

    @property
    def cold_address(self) -> int:
        """Where the pages begin that are written once."""
        return self.hot_address + self.hot_pages * PAGE

    @property
    def _pages(self) -> int:
        return (min(self.memory, _REACHED) - _LOW - _TOP) // PAGE

    @property
    def _table_pages(self) -> int:
        return -(-self.hot_pages * 4 // PAGE)

    @property
    def _pages_left(self) -> int:
        return self._pages - self._table_pages - self.hot_pages


def rate_units(dirty_rate: int) -> int:
    """A rate in pages a tick."""
    return round(dirty_rate / UNIT)


def disk_image(spec: GuestSpec) -> bytes:
    """The image of a guest's disk."""
    parameters = struct.pack(
        "<5I",
        rate_units(spec.dirty_rate),
        spec.pattern.value,
        spec.hot_pages,
        spec.cold_pages,
        _TIMER // TICKS,
    )
    image = bytearray(compiled_program().ljust(_SIZE, b"\0"))
    image[_PARAMETERS_AT : _PARAMETERS_AT + len(parameters)] = parameters
    return bytes(image)
