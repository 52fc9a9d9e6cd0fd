"""The lab's processes: started detached, found again by a mark in their environment, stopped for certain.

The mark, not a file of process ids, is what `down` goes by: it holds after a crash in the middle of anything.
"""

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

MARK = "VMFERRY_LAB"
"""The environment variable that holds the lab's directory in each of its processes."""
COMPONENT = "VMFERRY_LAB_COMPONENT"
"""The environment variable that holds a process' name within the lab."""

GRACE = 10.0
"""Seconds between asking and killing."""


def start(
    component: str,
    command: Sequence[str | Path],
    *,
    lab: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> psutil.Process:
    """Start a process that outlives its parent; its output goes to the end of the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**(environment or os.environ), MARK: str(lab), COMPONENT: component},
        )
    process = psutil.Process(child.pid)
    child.returncode = 0  # reaped by psutil, or by init when this process ends first
    return process


def of_lab(lab: Path) -> list[psutil.Process]:
    """All processes that bear the lab's mark."""
    return [process for process in psutil.process_iter() if _environment(process).get(MARK) == str(lab)]


def of_component(lab: Path, component: str) -> list[psutil.Process]:
    """The processes of one component."""
    return [process for process in of_lab(lab) if _environment(process).get(COMPONENT) == component]


def stop(processes: Iterable[psutil.Process], *, how: signal.Signals = signal.SIGTERM) -> None:
    """End them: asked first (or killed at once with SIGKILL), then killed, then waited for.

    Raises:
        psutil.TimeoutExpired: One survives even SIGKILL.
    """
    several = list(processes)
    _signal(several, how)
    _, alive = psutil.wait_procs(several, timeout=GRACE)
    _signal(alive, signal.SIGKILL)
    _, alive = psutil.wait_procs(alive, timeout=GRACE)
    if alive:
        raise psutil.TimeoutExpired(GRACE, alive[0].pid)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error's message."""
    if not log.exists():
        return f"({log} does not exist)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _signal(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return {}
