"""Prometheus and promtool: found on PATH, or unpacked once from Debian's package."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.debian import unpacked
from vmferry_lab.errors import LabError

_NAMES = ("prometheus", "promtool")


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
    try:
        cache = unpacked("prometheus", [f"usr/bin/{name}" for name in _NAMES], size="19 MB", say=say)
    except LabError as error:
        raise LabError(f"{error}, or put prometheus and promtool on PATH") from error
    return MonitoringBinaries(*(cache / name for name in _NAMES))
