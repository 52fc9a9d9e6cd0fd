"""Building Go programs into the user's cache, by one process at a time."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from vmferry_lab.controlplane.binaries.go import go_program
from vmferry_lab.errors import LabError

_TIMEOUT = 3600

Say = Callable[[str], None]
"""Tells the user how it goes."""


def cache_directory() -> Path:
    """The lab's part of the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vmferry-lab"


def built_once(module: Path, say: Say) -> Path:
    """The program of a small module of ours, built anew only where its files differ.

    Args:
        module: The directory of its go.mod, go.sum and sources; its name is the program's.
        say: Tells how it goes.

    Raises:
        LabError: It can't be built.
    """
    sources = sorted(each for each in module.iterdir() if each.suffix in {".go", ".mod", ".sum"})
    digest = hashlib.sha256(b"\0".join(each.read_bytes() for each in sources)).hexdigest()[:16]
    cache = cache_directory() / f"{module.name}-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / module.name
    with only_builder(cache, module.name, say):
        if not program.is_file():
            say(f"building {module.name} from Go modules, once")
            scratch = cache / "building"
            shutil.rmtree(scratch, ignore_errors=True)  # of a builder that was killed
            scratch.mkdir()
            for each in sources:
                shutil.copy(each, scratch)
            go_build(go_program(cache_directory(), say), scratch, ["-o", module.name, "."])
            (scratch / module.name).replace(program)
            shutil.rmtree(scratch)
    return program


@contextmanager
def only_builder(cache: Path, what: str, say: Say) -> Iterator[None]:
    """A second builder waits, and finds it built; the kernel lets go of the lock when its holder dies."""
    with (cache / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process builds {what} just now; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def go_build(go: Path, directory: Path, arguments: Sequence[str]) -> None:
    """Run `go build` in the directory of a module.

    Raises:
        LabError: It fails.
    """
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    command = [str(go), "build", "-trimpath", *arguments]
    try:
        subprocess.run(
            command, cwd=directory, env=environment, check=True, timeout=_TIMEOUT, stdout=sys.stderr
        )
    except (subprocess.SubprocessError, OSError) as error:
        raise LabError(str(error)) from error
