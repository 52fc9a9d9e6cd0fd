"""Build the images, and leave them in dist/images."""

import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory, one_filler
from vmferry_lab.errors import LabError
from vmferry_lab.images import archives, bases, pip_settings
from vmferry_lab.images.engines import Build, Engine, choose

TARGETS = {"vmferry-operator": "operator", "vmferry-agent": "node-agent"}
"""The images, and the Dockerfile's targets."""


@dataclass(frozen=True)
class Source:
    """What the images are made of."""

    version: str
    revision: str
    """The commit; with `-dirty` where files differ from it; `unknown` outside a git checkout."""
    epoch: int
    """When the commit was made, in seconds since 1970."""

    @property
    def dirty(self) -> bool:
        """Files differ from the commit."""
        return self.revision.endswith("-dirty")


def build(checkout: Path, engines: list[str], say: Say, *, fresh: bool = False) -> dict[str, Path]:
    """Build them all.

    Two runs at once take turns: the second finds the first's layers.

    Args:
        checkout: Where the Dockerfile is.
        engines: Names of what may build them; the first that works does.
        say: Tells the user how it goes.
        fresh: Take nothing from earlier builds, neither base nor layers.

    Returns:
        The images as docker-archives, by name.

    Raises:
        LabError: They can't be built.
    """
    if not (checkout / "Dockerfile").is_file():
        raise LabError(f"{checkout} is no checkout of vmferry: it has no Dockerfile")
    source = source_of(checkout)
    output = checkout / "dist" / "images"
    output.mkdir(parents=True, exist_ok=True)
    with one_filler(cache_directory() / "images", "builds images", say):
        engine = choose(engines, say)
        say(f"building with {type(engine).__name__}")
        if fresh:
            engine.forget()
        bases.provide(engine, say, fresh=fresh)
        with tempfile.TemporaryDirectory(prefix="vmferry-images-") as work:
            dockerfile = Path(work) / "Dockerfile"
            dockerfile.write_text(stamped((checkout / "Dockerfile").read_text(), source))
            secrets = pip_settings.write(Path(work), Path(sys.executable).with_name("pip"))
            for name, target in TARGETS.items():
                tag = f"{name}:{source.version}"
                plan = Build(checkout, dockerfile, target, tag, secrets=secrets, epoch=source.epoch)
                engine.build(plan, fresh=fresh)
        return {name: _save(engine, f"{name}:{source.version}", output / f"{name}.tar") for name in TARGETS}


def stamped(dockerfile: str, source: Source) -> str:
    """With version and commit for the arguments of that name.

    Buildah, and so Podman, takes a step from its cache without a look at the arguments that a label is made of: an
    image would keep the label of an earlier commit, as long as no file in it changes.
    """
    return dockerfile.replace("${VERSION}", source.version).replace("${REVISION}", source.revision)


def _save(engine: Engine, tag: str, archive: Path) -> Path:
    """Whole or not at all: who loads it while another is made gets the old one."""
    if archive.is_file() and archives.number(archive) == engine.number(tag):
        return archive
    with tempfile.TemporaryDirectory(prefix=".save-", dir=archive.parent) as work:
        engine.save(tag, Path(work) / archive.name)
        (Path(work) / archive.name).replace(archive)
    return archive


def source_of(checkout: Path) -> Source:
    """What a checkout holds."""
    version = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["version"]
    try:
        revision, epoch = _git(checkout, "log", "-1", "--format=%H %ct").split()
        dirty = "-dirty" if _git(checkout, "status", "--porcelain") else ""
    except (OSError, subprocess.CalledProcessError):
        return Source(version, "unknown", 0)
    return Source(version, revision + dirty, int(epoch))


def _git(checkout: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", checkout, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
