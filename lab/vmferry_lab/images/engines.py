"""Docker, Podman or Buildah: whichever works here."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory
from vmferry_lab.errors import LabError
from vmferry_lab.images.commands import install, run, trouble

_ANSWER = 15
"""Seconds within which an engine must say that it works."""
PULL = 30
"""Seconds within which a base must have come from a registry; else it is bootstrapped, which takes a minute."""


@dataclass(frozen=True)
class Build:
    """What is built."""

    context: Path
    dockerfile: Path
    target: str
    tag: str
    secrets: Mapping[str, Path]
    epoch: int
    """The time that files and image are told to be of, in seconds since 1970."""

    def options(self) -> list[str]:
        """As all engines take them."""
        options = ["--file", str(self.dockerfile), "--target", self.target, "--tag", self.tag]
        for name, path in self.secrets.items():
            options += ["--secret", f"id={name},src={path}"]
        return options


class Engine(ABC):
    """Builds images and keeps them."""

    @abstractmethod
    def trouble(self) -> str:
        """Why it does not work, in a line; empty: it does."""

    @abstractmethod
    def has(self, tag: str) -> bool:
        """Whether it keeps such an image."""

    @abstractmethod
    def pull(self, tag: str) -> str:
        """Get it from a registry, in seconds; else why that can't be."""

    @abstractmethod
    def take(self, root: Path, tag: str) -> None:
        """Make an image of one layer from the tar of a root file system."""

    @abstractmethod
    def forget(self) -> None:
        """Drop what earlier builds have left, where it is nobody else's."""

    @abstractmethod
    def build(self, build: Build, *, fresh: bool) -> None:
        """Build an image, and tell how it goes.

        Args:
            build: What.
            fresh: Take nothing from what was built before this run.
        """

    @abstractmethod
    def number(self, tag: str) -> str:
        """What tells one image from all others: the SHA-256 of its configuration."""

    @abstractmethod
    def save(self, tag: str, path: Path) -> None:
        """Write it as a docker-archive."""


@dataclass(frozen=True)
class Docker(Engine):
    """Docker with BuildKit."""

    command: str = "docker"

    def trouble(self) -> str:
        """See Engine."""
        return trouble([self.command, "info"], within=_ANSWER) or self._lacks_buildkit()

    def has(self, tag: str) -> bool:
        """See Engine."""
        return not trouble([self.command, "image", "inspect", tag], within=_ANSWER)

    def pull(self, tag: str) -> str:
        """See Engine."""
        return trouble([self.command, "pull", "--quiet", tag], within=PULL)

    def take(self, root: Path, tag: str) -> None:
        """See Engine."""
        run([self.command, "import", "--change", "CMD bash", root, tag])

    def forget(self) -> None:
        """Nothing: what it keeps may be anybody's; `docker builder prune` is the user's to say."""

    def build(self, build: Build, *, fresh: bool) -> None:
        """See Engine."""
        environment = {"DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": str(build.epoch)}
        options = [*build.options(), *(["--no-cache"] if fresh else [])]
        run([self.command, "build", *options, build.context], env=environment, quiet=False)

    def number(self, tag: str) -> str:
        """See Engine."""
        return (
            run([self.command, "image", "inspect", "--format", "{{.Id}}", tag])
            .strip()
            .removeprefix("sha256:")
        )

    def save(self, tag: str, path: Path) -> None:
        """See Engine."""
        run([self.command, "save", "--output", path, tag])

    def _lacks_buildkit(self) -> str:
        return trouble([self.command, "buildx", "version"], within=_ANSWER)


@dataclass(frozen=True)
class Podman(Docker):
    """Podman: Docker's commands, and Buildah inside."""

    command: str = "podman"

    def build(self, build: Build, *, fresh: bool) -> None:
        """See Engine."""
        options = ["--pull=never", "--layers", "--timestamp", str(build.epoch), *build.options()]
        options += ["--no-cache"] if fresh else []
        run([self.command, "build", *options, build.context], quiet=False)

    def save(self, tag: str, path: Path) -> None:
        """See Engine."""
        run([self.command, "save", "--quiet", "--format", "docker-archive", "--output", path, tag])

    def _lacks_buildkit(self) -> str:
        return ""


@dataclass(frozen=True)
class Buildah(Engine):
    """Buildah, with a storage of its own in the user's cache; it needs no daemon and no container runtime."""

    storage: Path = field(default_factory=lambda: cache_directory() / "images" / "storage")

    def trouble(self) -> str:
        """See Engine."""
        return trouble([*self._buildah(), "info"], within=_ANSWER)

    def has(self, tag: str) -> bool:
        """See Engine."""
        return not trouble([*self._buildah(), "inspect", "--type", "image", tag], within=_ANSWER)

    def pull(self, tag: str) -> str:
        """See Engine."""
        return trouble([*self._buildah(), "pull", "--quiet", tag], within=PULL)

    def take(self, root: Path, tag: str) -> None:
        """See Engine."""
        container = run([*self._buildah(), "from", "scratch"]).strip()
        try:
            run([*self._buildah(), "add", "--quiet", container, root, "/"])
            run([*self._buildah(), "config", "--cmd", "bash", container])
            run([*self._buildah(), "commit", "--quiet", container, tag])
        finally:
            run([*self._buildah(), "rm", container])

    def forget(self) -> None:
        """See Engine."""
        run([*self._buildah(), "rmi", "--all", "--force"])

    def build(self, build: Build, *, fresh: bool) -> None:
        """See Engine."""
        options = ["--no-cache"] if fresh else []
        options += ["--isolation", "chroot", "--network", "host", "--pull-never", "--layers"]
        options += ["--timestamp", str(build.epoch), *build.options()]
        run([*self._buildah(), "build", *options, build.context], quiet=False)

    def number(self, tag: str) -> str:
        """See Engine."""
        return run([*self._buildah(), "images", "--quiet", "--no-trunc", tag]).strip().removeprefix("sha256:")

    def save(self, tag: str, path: Path) -> None:
        """See Engine."""
        # By its number: by its name the archive would have that, with "localhost", too.
        run([*self._buildah(), "push", "--quiet", self.number(tag), f"docker-archive:{path}:{tag}"])

    def _buildah(self) -> list[str | Path]:
        return ["buildah", "--root", self.storage, "--runroot", self.storage.with_name("run")]


ENGINES: Mapping[str, Callable[[], Engine]] = {"docker": Docker, "podman": Podman, "buildah": Buildah}
"""In the order in which they are tried."""


def choose(names: Sequence[str], say: Say) -> Engine:
    """The first that works; Buildah is installed where none does.

    Raises:
        LabError: None works, and Buildah can't be installed.
    """
    troubles = {}
    for name in names:
        engine = ENGINES[name]()
        troubles[name] = engine.trouble()
        if not troubles[name]:
            return engine
        say(f"{name}: {troubles[name]}")
    if troubles.get("buildah") != "not installed":
        raise LabError(f"no way to build images: of {', '.join(names)} none works")
    say("installing buildah")
    install("buildah", "building images without Docker or Podman")
    return _installed(Buildah())


def _installed(engine: Engine) -> Engine:
    if why_not := engine.trouble():
        raise LabError(f"buildah is installed, and does not work: {why_not}")
    return engine
