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
_APPEARS = 2.0
"""Seconds in which a process that was started apart has its own environment, or has ended."""
_ROUNDS = 5
_LOOK_EVERY = 0.02


def start(
    component: str,
    command: Sequence[str | Path],
    *,
    lab: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
    through: Sequence[str] = (),
) -> psutil.Process:
    """Start a process that outlives its parent; its output goes to the end of the log.

    Args:
        component: Its name within the lab.
        command: The program and its arguments.
        lab: The lab's directory.
        log: Where its output goes.
        environment: Of the process; by default this one's.
        through: The words before the command that enter other namespaces. The process is then no child of this
            one, but of the first process there, which alone can take leave of it: the kernel lets no PID
            namespace go before.

    Raises:
        LabError: The program can't be run.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    apart = [*through, "setsid", "--fork"] if through else []
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*apart, *(str(word) for word in command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**(environment or os.environ), MARK: str(lab), COMPONENT: component},
            )
    except OSError as error:
        raise LabError(f"{component} can't be started: {error}") from error
    if through:
        child.wait(GRACE)
        return _started(component, lab, log)
    process = psutil.Process(child.pid)
    child.returncode = 0  # reaped by psutil, or by init when this process ends first
    until(f"the start of {component}", lambda: has_ended(process) or _bears_mark(process, lab), timeout=GRACE)
    return process


def of_lab(lab: Path) -> list[psutil.Process]:
    """All processes that bear the lab's mark."""
    return [process for process in psutil.process_iter() if _bears_mark(process, lab)]


def of_component(lab: Path, component: str) -> list[psutil.Process]:
    """The processes of one component."""
    return [process for process in of_lab(lab) if component_of(process) == component]


def component_of(process: psutil.Process) -> str:
    """The component's name that a process bears; empty: none."""
    return _environment(process).get(COMPONENT, "")


def components_of(lab: Path) -> set[str]:
    """The names of what runs of a lab."""
    return {component for process in of_lab(lab) if (component := component_of(process))}


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, waited for by its parent or not."""
    try:
        if not process.is_running():
            return True
        # the first thread can be a zombie while others still hold files and ports
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.NoSuchProcess:
        return True


def wait_ready(
    what: str, process: psutil.Process, ready: Callable[[], bool], *, timeout: float, logs: Sequence[Path]
) -> None:
    """Wait until a process that was started is ready.

    Args:
        what: What it is, in words.
        process: It.
        ready: Looks whether it is; must not raise.
        timeout: Seconds.
        logs: Where it says what is wrong.

    Raises:
        LabError: It has ended, or does not get ready; with the end of its logs.
    """

    def failed(said: str) -> LabError:
        return LabError("\n".join([said, *map(tail, logs)]))

    try:
        until(what, lambda: has_ended(process) or ready(), timeout=timeout)
    except TimeoutError as error:
        raise failed(str(error)) from error
    if has_ended(process):
        raise failed(f"{what} has ended at once")


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


def _started(component: str, lab: Path, log: Path) -> psutil.Process:
    """The process that has just been started apart."""
    try:
        return until(
            f"the start of {component}",
            lambda: next(iter(of_component(lab, component)), None),
            timeout=_APPEARS,
        )
    except TimeoutError as error:
        raise LabError(f"{component} has ended at once\n{tail(log)}") from error


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
