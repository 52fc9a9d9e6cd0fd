"""Building Go programs into the user's cache, by one process at a time."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
            with _scratch(cache, sources) as scratch:
                go_build(go_program(cache_directory(), say), scratch, ["-o", module.name, "."])
                (scratch / module.name).replace(program)
    return program


def build_missing(
    packages: Mapping[str, str],
    arguments: Sequence[str],
    *,
    module: Path,
    cache: Path,
    duration: str,
    say: Say,
) -> None:
    """Build those programs of others that a part of the cache lacks.

    Args:
        packages: Each program's package, by its name.
        arguments: Of `go build`.
        module: The directory of a go.mod and go.sum which say in what versions.
        cache: Where the programs go.
        duration: How long it takes on 2 cores, in words.
        say: Tells how it goes.

    Raises:
        LabError: One can't be built; those before it are kept.
    """
    with one_filler(cache, f"builds {', '.join(packages)}", say):
        missing = [name for name in packages if not (cache / name).is_file()]
        if not missing:
            return
        say(f"building {', '.join(missing)} from Go modules, once: about {duration} on 2 cores")
        go = go_program(cache_directory(), say)
        with _scratch(cache, [module / "go.mod", module / "go.sum"]) as scratch:
            for number, name in enumerate(missing, start=1):
                began = time.monotonic()
                say(f"  {number}/{len(missing)} {name} …")
                go_build(go, scratch, [*arguments, "-o", name, packages[name]])
                (scratch / name).replace(cache / name)
                say(f"  {number}/{len(missing)} {name}: built in {time.monotonic() - began:.0f} s")


def version_of(package: str, module: Path) -> str:
    """The version that a go.mod requires of a module.

    Raises:
        LabError: It requires none.
    """
    text = (module / "go.mod").read_text()
    match = re.search(rf"^\s*{re.escape(package)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise LabError(f"{module}/go.mod does not require {package}")
    return match[1]


@contextmanager
def _scratch(cache: Path, sources: Iterable[Path]) -> Iterator[Path]:
    """A directory below the cache's with copies of the sources, since Go may write to its module's."""
    scratch = cache / "building"
    shutil.rmtree(scratch, ignore_errors=True)  # of a builder that was killed
    scratch.mkdir()
    for each in sources:
        shutil.copy(each, scratch)
    yield scratch
    shutil.rmtree(scratch)


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
