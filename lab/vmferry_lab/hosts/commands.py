"""The kernel's networks by their usual programs: ip, tc, ss, iptables, and nsenter before them."""

import shutil
import subprocess
from collections.abc import Sequence

from vmferry_lab.errors import LabError

_TIMEOUT = 20.0
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def run(command: Sequence[str], *, stdin: str = "") -> str:
    """What a program prints.

    Raises:
        LabError: It is not installed, or fails.
    """
    program = shutil.which(command[0], path=_PATH)
    if program is None:
        raise LabError(f"{command[0]} is not installed; run lab/system-packages")
    done = subprocess.run(
        [program, *command[1:]],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
        env={"PATH": _PATH, "LANG": "C.UTF-8"},
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout
