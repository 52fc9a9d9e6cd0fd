"""The lab's processes: started detached, found again by a mark in their environment, stopped for certain.

The mark, not a file of process ids, is what `down` goes by: it holds after a crash in the middle of anything.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from vmferry_lab.errors import LabError
from vmferry_lab.until import until

MARK = "VMFERRY_LAB"
"""The environment variable that holds the lab's directory in each of its processes."""
COMPONENT = "VMFERRY_LAB_COMPONENT"
"""The environment variable that holds a process' name within the lab."""

GRACE = 10.0
"""Seconds between asking and killing."""
_ROUNDS = 5
_LOOK_EVERY = 0.02


def start(
    component: str,
    command: Sequence[str | Path],
    *,
    lab: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> psutil.Process:
    """Start a process that outlives its parent; its output goes to the end of the log.

    Raises:
        LabError: The program can't be run.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**(environment or os.environ), MARK: str(lab), COMPONENT: component},
            )
    except OSError as error:
        raise LabError(f"{component} can't be started: {error}") from error
    process = psutil.Process(child.pid)
    child.returncode = 0  # reaped by psutil, or by init when this process ends first
    until(f"the start of {component}", lambda: has_ended(process) or _bears_mark(process, lab), timeout=GRACE)
    return process


def of_lab(lab: Path) -> list[psutil.Process]:
    """All processes that bear the lab's mark."""
    return [process for process in psutil.process_iter() if _bears_mark(process, lab)]


def of_component(lab: Path, component: str) -> list[psutil.Process]:
    """The processes of one component."""
    return [process for process in of_lab(lab) if _environment(process).get(COMPONENT) == component]


def components_of(lab: Path) -> set[str]:
    """The names of what runs of a lab."""
    found = (_environment(process).get(COMPONENT) for process in of_lab(lab))
    return {component for component in found if component}


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, waited for by its parent or not."""
    try:
        if not process.is_running():
            return True
        # the first thread can be a zombie while others still hold files and ports
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def stop(processes: Iterable[psutil.Process], *, how: signal.Signals = signal.SIGTERM) -> None:
    """End them: asked first (or killed at once with SIGKILL), then killed, then waited for.

    Raises:
        LabError: One survives even SIGKILL.
    """
    several = list(processes)
    _signal(several, how)
    alive = _alive_after(GRACE, several)
    _signal(alive, signal.SIGKILL)
    alive = _alive_after(GRACE, alive)
    _reap(several)
    if alive:
        raise LabError(f"process {alive[0].pid} has not ended {GRACE:g} s after it was killed")


def kill_all(what: str, find: Callable[[], list[psutil.Process]]) -> None:
    """Kill all that is found, and look again: one may have started another just before its end.

    Args:
        what: What they are, in words.
        find: Looks for them.

    Raises:
        LabError: Each time there were new ones.
    """
    for _ in range(_ROUNDS):
        found = find()
        if not found:
            return
        stop(found, how=signal.SIGKILL)
    raise LabError(f"{what} come back as often as they are killed; something restarts them")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for an error's message."""
    if not log.exists():
        return f"({log} does not exist)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _alive_after(timeout: float, several: list[psutil.Process]) -> list[psutil.Process]:
    """Those that run on for so many seconds.

    Own children are waited for. What is another process' child may stay a zombie for long, and counts as ended.
    """
    deadline = time.monotonic() + timeout
    alive = several
    while True:
        _, alive = psutil.wait_procs(alive, timeout=0)
        alive = [process for process in alive if not has_ended(process)]
        if not alive or time.monotonic() >= deadline:
            return alive
        time.sleep(_LOOK_EVERY)


def _reap(several: list[psutil.Process]) -> None:
    """Take leave of own children, which stay zombies otherwise."""
    for process in several:
        with contextlib.suppress(psutil.Error):  # another process' child
            process.wait(timeout=0)


def _bears_mark(process: psutil.Process, lab: Path) -> bool:
    """Whether it can be found: until its program is read from disk, Linux shows no environment of it."""
    return _environment(process).get(MARK) == str(lab)


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
