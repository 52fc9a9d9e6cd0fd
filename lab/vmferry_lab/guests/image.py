"""The disk image that a guest boots from."""

import struct
import subprocess
import tempfile
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from vmferry_lab.errors import LabError

PAGE = 4096
TICKS = 250
"""A second."""
UNIT = PAGE * TICKS
"""Bytes per second: what one page a tick is, and the granularity of rates (1.024 MB/s)."""
MAX_RATE = 254 * UNIT
"""What fits in the register by which the rate is changed at run time."""
_MIB = 2**20
_LOW = _MIB
"""Where the guest's own areas begin; below are the BIOS and the program."""
_TOP = _MIB
"""Left to the BIOS at the end of memory."""
_LEAST_MEMORY, _MOST_MEMORY = 32 * _MIB, 3072 * _MIB
_TIMER = 1_193_182
_SECTOR = 512
_PARAMETERS_AT = _SECTOR
_SIZE = _MIB
_FLAGS = [
    "-m32",
    "-Os",
    "-ffreestanding",
    "-fno-pic",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
]
_PROGRAM = Path(__file__).parent / "program"


class Pattern(Enum):
    """How the working set is written."""

    SEQUENTIAL = 0
    """Page after page, a word in each."""
    RANDOM = 1
    """Pages at random, a word in each."""
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
    """Bytes; all of it is written to at boot."""
    dirty_rate: int = 80_000_000
    """Bytes of pages dirtied per second, rounded to UNIT."""
    working_set: int = 64 * _MIB
    """Bytes that are written over and over."""
    pattern: Pattern = Pattern.SEQUENTIAL

    def __post_init__(self) -> None:
        if not _LEAST_MEMORY <= self.memory <= _MOST_MEMORY:
            raise LabError(f"guest {self.name}: memory must be from 32Mi to 3Gi")
        if not 0 <= self.dirty_rate <= MAX_RATE:
            raise LabError(f"guest {self.name}: dirty rate must be from 0 to {MAX_RATE} bytes per second")
        if self.working_set < PAGE or self.cold_pages < 0:
            most = (self.memory - _LOW - _TOP) * PAGE // (PAGE + 4) // PAGE * PAGE
            raise LabError(f"guest {self.name}: working set must be from {PAGE} to {most} bytes")

    @property
    def hot_pages(self) -> int:
        """Pages of the working set."""
        return self.working_set // PAGE

    @property
    def cold_pages(self) -> int:
        """Pages that are written once, and checked."""
        table = -(-self.hot_pages * 4 // PAGE)
        return (self.memory - _LOW - _TOP) // PAGE - self.hot_pages - table


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
    image = bytearray(_program().ljust(_SIZE, b"\0"))
    image[_PARAMETERS_AT : _PARAMETERS_AT + len(parameters)] = parameters
    return bytes(image)


@cache
def _program() -> bytes:
    """The program, compiled: half a second, once per process."""
    with tempfile.TemporaryDirectory() as scratch:
        for source in ("boot.S", "guest.c"):
            _run(["gcc", *_FLAGS, "-Wall", "-Werror", "-c", str(_PROGRAM / source)], scratch)
        layout = str(_PROGRAM / "layout.ld")
        _run(["ld", "-m", "elf_i386", "-T", layout, "-o", "image", "boot.o", "guest.o"], scratch)
        return (Path(scratch) / "image").read_bytes()


def _run(command: list[str], directory: str) -> None:
    try:
        subprocess.run(command, cwd=directory, check=True, timeout=60, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise LabError(f"can't compile the guest: {error.stderr}") from error
    except OSError as error:
        raise LabError(f"can't compile the guest: {error}; run lab/system-packages") from error
