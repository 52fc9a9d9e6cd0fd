"""The plugin as its user runs it: in a pipe, and in a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field

from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.lab import Lab

PATIENCE = 90.0
"""Seconds; generous, because the machine may be slow."""
_ROWS, _COLUMNS = 40, 120
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def command(*words: str) -> list[str]:
    """The plugin, of this checkout."""
    return [sys.executable, "-m", "kubectl_vmferry", *words]


def environment(lab: Lab) -> dict[str, str]:
    """A user's, at the lab's cluster."""
    given = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS"}}
    return {**client_environment(lab.kubectl.kubeconfig, given), "TERM": "xterm-256color"}


def run_in_pipe(lab: Lab, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end; nothing that people are shown is a traceback, and nothing is coloured."""
    done = subprocess.run(
        command(*words), capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment(lab)
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    return done


def completed(lab: Lab, **typed: str) -> list[str]:
    """What bash is told of what was typed."""
    asked = {**environment(lab), "_VMFERRY_COMPLETE": "bash_complete", **typed}
    done = subprocess.run(command(), env=asked, capture_output=True, text=True, check=True, timeout=PATIENCE)
    return done.stdout.splitlines()


_AS_IN_A_SHELL = """
import fcntl, runpy, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("kubectl_vmferry", run_name="__main__", alter_sys=True)
"""
"""Ctrl-C needs a terminal of one's own, and a signal that whoever runs the tests may have had ignored."""


@dataclass
class Terminal:
    """The plugin in a pseudo-terminal.

    Args:
        lab: Whose cluster it talks to.
        words: Its arguments.
    """

    lab: Lab
    words: tuple[str, ...]
    raw: str = field(default="", init=False)
    """All that it has written, with the control sequences."""

    def __enter__(self) -> "Terminal":
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _AS_IN_A_SHELL, *self.words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment(self.lab),
            start_new_session=True,
        )
        os.close(slave)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """All that it has written, without control sequences."""
        return _CONTROL.sub("", self.raw)

    def shows(self, *texts: str) -> str:
        """Wait until it has written all of these since the last call; what it has written since then."""
        deadline = time.monotonic() + PATIENCE
        seen = getattr(self, "_seen", 0)
        while any(text not in self.text[seen:] for text in texts):
            missing = [text for text in texts if text not in self.text[seen:]]
            assert time.monotonic() < deadline, f"{missing} not shown in:\n{self.text[seen:][-3000:]}"
            assert self._read(), f"it ended without {missing}:\n{self.text[-3000:]}"
        found = self.text[seen:]
        self._seen = len(self.text)
        return found

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def ends(self) -> int:
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, self.text[-3000:]
        return self._process.wait(timeout=PATIENCE)

    def _read(self) -> bool:
        """Take in what there is; False: it has ended, and all is read."""
        ready, _, _ = select.select([self._master], [], [], 0.2)
        if not ready:
            return self._process.poll() is None
        try:
            data = os.read(self._master, 65536)
        except OSError:  # as Linux tells that the other end is closed
            return False
        self.raw += data.decode(errors="replace")
        return bool(data)
