"""The guests' program, compiled from its source."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from vmferry_lab.errors import LabError

_SOURCES = Path(__file__).parent / "program"
_FLAGS = (
    "-m32",
    "-march=i686",
    "-Os",
    "-ffreestanding",
    "-fno-pic",
    "-fcf-protection=none",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-Wall",
    "-Werror",
)
_TIMEOUT = 60.0


@cache
def compiled_program() -> bytes:
    """Boot sector, a sector for the parameters, program; it takes a tenth of a second, once per process.

    Raises:
        LabError: It does not compile, or there is no compiler.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for source in ("boot.S", "guest.c"):
            _run("gcc", *_FLAGS, "-c", str(_SOURCES / source), directory=scratch)
        layout = str(_SOURCES / "layout.ld")
        _run("ld", "-m", "elf_i386", "-T", layout, "-o", "image", "boot.o", "guest.o", directory=scratch)
        return (Path(scratch) / "image").read_bytes()


def _run(*command: str, directory: str) -> None:
    try:
        subprocess.run(command, cwd=directory, check=True, timeout=_TIMEOUT, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise LabError(f"can't compile the guests' program: {error.stderr}") from error
    except OSError as error:
        raise LabError(f"can't compile the guests' program: {error}; run lab/system-packages") from error
