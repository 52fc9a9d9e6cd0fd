"""Prometheus and promtool: found on PATH, or unpacked once from Debian's package.

The package is not installed, which would start a service and add a user.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.cache import cache_directory, one_filler
from vmferry_lab.errors import LabError

_NAMES = ("prometheus", "promtool")
_PACKAGE = "prometheus"
_TIMEOUT = 1800


@dataclass(frozen=True)
class MonitoringBinaries:
    """Where the programs are."""

    prometheus: Path
    promtool: Path


def find_or_unpack(say: Callable[[str], None]) -> MonitoringBinaries:
    """The programs, downloaded if need be (19 MB).

    Raises:
        LabError: They can't be had.
    """
    own = [shutil.which(name) for name in _NAMES]
    if all(own):
        return MonitoringBinaries(*(Path(each) for each in own if each))
    cache = cache_directory() / "prometheus-debian"
    found = MonitoringBinaries(*(cache / name for name in _NAMES))
    with one_filler(cache, f"downloads the Debian package {_PACKAGE}", say):
        if not (found.prometheus.is_file() and found.promtool.is_file()):
            _unpack(cache, say)
    return found


def _unpack(cache: Path, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    say(f"downloading the Debian package {_PACKAGE}, once (19 MB); it is unpacked, not installed")
    scratch = cache / "unpacking"
    shutil.rmtree(scratch, ignore_errors=True)  # of a process that was killed
    scratch.mkdir()
    _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", _PACKAGE], scratch)
    (package,) = scratch.glob("*.deb")
    _run(["dpkg", "-x", package.name, "tree"], scratch)
    for name in _NAMES:
        (scratch / "tree" / "usr" / "bin" / name).replace(cache / name)
    shutil.rmtree(scratch)
    say(f"  {package.name}: unpacked after {time.monotonic() - began:.0f} s")


def _run(command: list[str], directory: Path) -> None:
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
            f"can't get Prometheus from the Debian package {_PACKAGE}: {said}; run `apt-get update` as root if "
            "apt knows no such package, or put prometheus and promtool on PATH"
        ) from error
