"""Building Go programs into the user's cache, by one process at a time."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory, one_filler
from vmferry_lab.controlplane.binaries.go import go_program
from vmferry_lab.errors import LabError

_TIMEOUT = 3600


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
    program = cache / module.name
    with one_filler(cache, f"builds {module.name}", say):
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
