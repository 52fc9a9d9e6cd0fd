"""Programs of Debian packages, unpacked once into the cache.

The packages are not installed, which would start services and add users.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory, one_filler
from vmferry_lab.errors import LabError

_TIMEOUT = 1800


def unpacked(package: str, programs: Sequence[str], *, size: str, say: Say) -> Path:
    """The directory that has them, each by its name; downloaded if need be.

    Args:
        package: The Debian package.
        programs: Their paths in it.
        size: The download's, in words.
        say: Tells how it goes.

    Raises:
        LabError: They can't be had.
    """
    cache = cache_directory() / f"{package}-debian"
    with one_filler(cache, f"downloads the Debian package {package}", say):
        if not all((cache / Path(each).name).is_file() for each in programs):
            _unpack(package, programs, cache, size, say)
    return cache


def _unpack(package: str, programs: Sequence[str], cache: Path, size: str, say: Say) -> None:
    began = time.monotonic()
    say(f"downloading the Debian package {package}, once ({size}); it is unpacked, not installed")
    scratch = cache / "unpacking"
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir()
    _run(package, ["apt-get", "-o", "APT::Sandbox::User=root", "download", package], scratch)
    (archive,) = scratch.glob("*.deb")
    _run(package, ["dpkg", "-x", archive.name, "tree"], scratch)
    for each in programs:
        (scratch / "tree" / each).replace(cache / Path(each).name)
    shutil.rmtree(scratch)
    say(f"  {archive.name}: unpacked after {time.monotonic() - began:.0f} s")


def _run(package: str, command: list[str], directory: Path) -> None:
    try:
        subprocess.run(
            command,
            cwd=directory,
            check=True,
            timeout=_TIMEOUT,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (subprocess.SubprocessError, OSError) as error:
        said = " ".join((getattr(error, "stderr", None) or str(error)).split())[-500:]
        raise LabError(
            f"can't get the Debian package {package}: {said}; run `apt-get update` as root if apt knows no such "
            "package"
        ) from error
