"""A shell that runs the commands of a page, as somebody who reads it would type them."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from vmferry_lab.until import until

PATIENCE = 300.0
"""Seconds for one command: a lab comes up, or a migration ends."""


class Shell:
    """A bash in which each command finds what those before it have left: variables, functions, the directory.

    Args:
        directory: Where it begins.
        notes: A directory of its own for what commands say; files, since a pipe would be held by what they start.
        environment: Of the shell.
    """

    def __init__(self, directory: Path, notes: Path, environment: Mapping[str, str]) -> None:
        self._notes = notes
        self._number = 0
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Run a command.

        Returns:
            Its exit code, and what it has said, errors among it.

        Raises:
            TimeoutError: It has not ended in time.
        """
        self._number += 1
        said, code = self._notes / f"{self._number}.said", self._notes / f"{self._number}.code"
        assert self._bash.stdin is not None
        self._bash.stdin.write(
            f"{{\n{command}\n}} >{said} 2>&1 </dev/null; echo $? >{code}.new; mv {code}.new {code}\n"
        )
        self._bash.stdin.flush()
        until(f"`{command}` to end", code.exists, timeout=PATIENCE)
        return int(code.read_text()), said.read_text()

    def __enter__(self) -> "Shell":
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End it and what it has started; a lab's processes have sessions of their own."""
        assert self._bash.stdin is not None
        os.killpg(self._bash.pid, signal.SIGKILL)  # not reaped yet, so that it is no other's
        self._bash.stdin.close()
        self._bash.wait()
