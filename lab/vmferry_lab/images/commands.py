"""Programs that the making of images runs."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from vmferry_lab.errors import LabError

Command = Sequence[str | Path]


def run(command: Command, *, env: Mapping[str, str] | None = None, quiet: bool = True) -> str:
    """Run it to its end.

    Args:
        command: The program and its words.
        env: What its environment has beside this process's.
        quiet: Keep what it says; else it is shown as it comes.

    Returns:
        What it printed, if quiet.

    Raises:
        LabError: It failed; with the last lines of what it said.
    """
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join((done.stdout or "").rstrip().splitlines()[-15:])
        words = " ".join(map(str, command[:3]))
        raise LabError(f"{words} … failed (exit code {done.returncode})\n{last}".rstrip())
    return done.stdout or ""


def trouble(command: Command, *, within: float) -> str:
    """Why the command does not succeed within so many seconds, in a line; empty: it does."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=within
        )
    except FileNotFoundError:
        return "not installed"
    except OSError as error:
        return str(error)
    except subprocess.TimeoutExpired:
        return f"no answer within {within:g} s"
    said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
    return said if done.returncode != 0 else ""


def as_root(command: Command, purpose: str) -> Command:
    """The command, by sudo where this process is not root.

    Raises:
        LabError: Neither root nor sudo.
    """
    if os.getuid() == 0:
        return command
    if shutil.which("sudo") is None:
        raise LabError(f"{purpose} takes root, and there is no sudo; as root: {' '.join(map(str, command))}")
    return ["sudo", *command]


def install(package: str, purpose: str) -> None:
    """Install a Debian package.

    Raises:
        LabError: It can't be.
    """
    if shutil.which("apt-get") is None:
        raise LabError(f"{purpose} takes {package}: please install it")
    run(as_root(["apt-get", "update", "-qq"], purpose))
    install_it = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    run(as_root(["env", "DEBIAN_FRONTEND=noninteractive", *install_it], purpose))
