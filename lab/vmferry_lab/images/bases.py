"""The image that the Dockerfile begins with: pulled, or bootstrapped from Debian's packages."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vmferry_lab.cache import Say, cache_directory
from vmferry_lab.images.commands import as_root, install, run
from vmferry_lab.images.engines import Engine

BASE = "debian:trixie-slim"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""The keys by which debootstrap knows that packages are Debian's."""
_SUITE = "trixie"
_SLIM = """\
# As Debian's own slim images: documentation and translations are left out, licences are not.
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
"""
_REMOVE = r"""
set -eu
cd "$1"
find usr/share/doc -mindepth 2 ! -name copyright ! -type d -delete
rm -rf usr/share/man/* usr/share/info/* usr/share/locale/*
rm -rf var/cache/* var/log/* var/lib/apt/lists/* var/lib/dpkg/*-old tmp/* run/*
find usr -name __pycache__ -prune -exec rm -rf {} +
: > etc/machine-id
rm -f etc/hostname etc/resolv.conf
"""


def provide(engine: Engine, say: Say, *, fresh: bool) -> None:
    """Have the engine keep the base.

    Args:
        engine: Builds the images.
        say: Tells the user how it goes.
        fresh: Get a new one, also where there is one.

    Raises:
        LabError: It is not to be had.
    """
    if engine.has(BASE) and not fresh:
        return
    if why_not := engine.pull(BASE):
        say(f"{BASE} can't be pulled: {why_not}")
        engine.take(bootstrapped(say, fresh=fresh), BASE)


def bootstrapped(say: Say, *, fresh: bool = False) -> Path:
    """The tar of a root file system as that of Debian's slim image, made if need be.

    It stays in the user's cache, and so do its packages' versions; `fresh` makes it anew.

    Raises:
        LabError: It can't be made.
    """
    tar = cache_directory() / "images" / f"debian-{_SUITE}-slim.tar"
    if tar.is_file() and not fresh:
        return tar
    for package in _lacking():
        say(f"installing {package}")
        install(package, "making a base image without a registry")
    say(f"bootstrapping Debian {_SUITE}, once: about a minute")
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bootstrap-", dir=tar.parent) as work:
        try:
            _bootstrap(Path(work) / "root", Path(work) / "root.tar")
            (Path(work) / "root.tar").replace(tar)
        finally:
            _root(["rm", "-rf", Path(work) / "root"])
    return tar


def _bootstrap(root: Path, tar: Path) -> None:
    _root([_debootstrap(), "--force-check-gpg", "--variant=minbase", _SUITE, root, *_mirror()])
    _write(root / "etc/dpkg/dpkg.cfg.d/slim", _SLIM)
    _write(root / "etc/apt/sources.list", _sources((root / "etc/apt/sources.list").read_text()))
    _root(["cp", "/etc/resolv.conf", root / "etc/resolv.conf"])
    for words in (["update", "-qq"], ["upgrade", "-y", "-qq"]):
        _root(["chroot", root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *words])
    _root(["sh", "-c", _REMOVE, "sh", root])
    _root(["tar", "--create", "--file", tar, "--numeric-owner", "--sort=name", "--directory", root, "."])
    _root(["chown", f"{os.getuid()}:{os.getgid()}", tar])


def _sources(debootstraps: str) -> str:
    """With the updates and the security updates of the release; debootstrap names only the release's mirror."""
    _, mirror, suite, *components = debootstraps.split()[:4]
    security = mirror.rstrip("/") + "-security"
    lines = [(mirror, suite), (mirror, f"{suite}-updates"), (security, f"{suite}-security")]
    return "".join(f"deb {url} {name} {' '.join(components)}\n" for url, name in lines)


def _mirror() -> list[str]:
    """Debian's own, unless the user names another."""
    named = os.environ.get("VMFERRY_DEBIAN_MIRROR")
    return [named] if named else []


def _lacking() -> list[str]:
    """The Debian packages that it takes and that are not here."""
    here = {
        "debootstrap": bool(_debootstrap()),
        "gpgv": shutil.which("gpgv") is not None,
        "debian-archive-keyring": KEYRING.is_file(),
    }
    return [package for package, is_here in here.items() if not is_here]


def _debootstrap() -> str:
    return shutil.which("debootstrap", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or ""


def _write(path: Path, text: str) -> None:
    _root(["sh", "-c", 'printf %s "$1" > "$2"', "sh", text, path])


def _root(command: Sequence[str | Path]) -> None:
    run(as_root(command, "bootstrapping Debian"))
