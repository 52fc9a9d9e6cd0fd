"""Images on the nodes: archives, and containerd's files with all of them in, kept in the cache."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vmferry_lab.cache import Say, cache_directory, one_filler
from vmferry_lab.cluster.binaries import ClusterBinaries
from vmferry_lab.cluster.node_configuration import PAUSE_IMAGE
from vmferry_lab.errors import LabError
from vmferry_lab.until import until

_KEPT = 2
"""Sets of images in the cache: another checkout's is not thrown out at once."""
_START_TIMEOUT = 30.0
_IMPORT_TIMEOUT = 300.0
_DATABASES = "io.containerd.*/*.db"
"""What of containerd's files is written in place; all else is written once."""


def write_pause_archive(program: Path, archive: Path) -> None:
    """Write the image of a program and nothing else, as `docker save` would."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(_file("pause", len(program.read_bytes()), mode=0o755), io.BytesIO(program.read_bytes()))
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer.getvalue(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            tar.addfile(_file(name, len(content)), io.BytesIO(content))


def write_next(archive: Path, target: Path, tag: str) -> str:
    """Write an image that differs by a label alone, as the next one that is built of other sources.

    Args:
        archive: The image.
        target: Where the other one goes.
        tag: The other one's.

    Returns:
        What it is called.
    """
    with tarfile.open(archive) as old, tarfile.open(target, "w") as new:
        (image,) = json.load(_member(old, "manifest.json"))
        config = json.load(_member(old, image["Config"]))
        config["config"]["Labels"] = {**(config["config"].get("Labels") or {}), "next": tag}
        name = f"{image['RepoTags'][0].rsplit(':', 1)[0]}:{tag}"
        image = {**image, "Config": "next.json", "RepoTags": [name]}
        for member in old:
            if member.name in image["Layers"]:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
        for file, content in {"next.json": config, "manifest.json": [image]}.items():
            text = json.dumps(content).encode()
            new.addfile(_file(file, len(text)), io.BytesIO(text))
    return name


def cached_root(archives: Sequence[Path], binaries: ClusterBinaries, say: Say) -> Path:
    """A directory that a containerd can start on a copy of, and have these images; made if need be.

    Args:
        archives: The images, as `docker save` writes them.
        binaries: The programs.
        say: Tells how it goes.

    Raises:
        LabError: An image is none.
    """
    cache = cache_directory() / "node-images"
    with one_filler(cache, "imports images", say), tempfile.TemporaryDirectory() as scratch:
        pause = Path(scratch) / "pause.tar"
        write_pause_archive(binaries.pause, pause)
        root = cache / _digest([pause, *archives], binaries.containerd.parent.name)
        if not root.is_dir():
            began = time.monotonic()
            building = cache / "building"
            shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
            _import([pause, *archives], building, Path(scratch), binaries)
            building.rename(root)
            say(
                f"imported {', '.join(each.stem for each in archives) or 'no images'} in "
                f"{time.monotonic() - began:.1f} s"
            )
        root.touch()  # the time of its last use
        _forget_old(cache)
        return root


def copy_root(root: Path, target: Path) -> None:
    """Give a node's containerd what is cached; its files are shared as long as nobody writes to them.

    Raises:
        LabError: There is no room, say.
    """
    if _copied(root, target, "--link") or _copied(root, target):
        for each in root.glob(_DATABASES):
            own = target / each.relative_to(root)
            own.unlink()
            shutil.copy(each, own)
    else:
        raise LabError(f"can't copy {root} to {target}")


def _copied(root: Path, target: Path, *how: str) -> bool:
    """Whether cp could; linking takes one file system."""
    words = ["cp", "--archive", *how, f"{root}/.", str(target)]
    if subprocess.run(words, capture_output=True, check=False).returncode == 0:
        return True
    shutil.rmtree(target)
    target.mkdir()
    return False


def _import(archives: Sequence[Path], root: Path, scratch: Path, binaries: ClusterBinaries) -> None:
    with _containerd(root, scratch, binaries) as client:
        for archive in archives:
            done = subprocess.run(
                [*client, "--namespace", "k8s.io", "images", "import", str(archive)],
                capture_output=True,
                text=True,
                timeout=_IMPORT_TIMEOUT,
                check=False,
            )
            if done.returncode != 0:
                raise LabError(f"containerd can't import {archive}: {done.stderr.strip()}")


@contextmanager
def _containerd(root: Path, scratch: Path, binaries: ClusterBinaries) -> Iterator[list[str]]:
    """A containerd that runs nothing; the words of its client."""
    socket, log = scratch / "socket", scratch / "log"
    config = scratch / "containerd.toml"
    config.write_text(
        f'version = 3\nroot = "{root}"\nstate = "{scratch}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", '
        '"io.containerd.nri.v1.nri"]\n'
        f'[grpc]\naddress = "{socket}"\n'
    )
    with log.open("wb") as output:
        daemon = subprocess.Popen(  # its mounts are nobody else's
            ["unshare", "--mount", str(binaries.containerd), "--config", str(config)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(
            "a containerd to import images",
            lambda: daemon.poll() is not None or socket.is_socket(),
            timeout=_START_TIMEOUT,
        )
        yield [str(binaries.ctr), "--address", str(socket)]
    finally:
        daemon.terminate()
        daemon.wait()


def _digest(archives: Sequence[Path], *more: str) -> str:
    whole = hashlib.sha256("\0".join(more).encode())
    for archive in archives:
        with archive.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:16]


def _forget_old(cache: Path) -> None:
    roots = [each for each in cache.iterdir() if each.is_dir()]
    for each in sorted(roots, key=lambda root: root.stat().st_mtime, reverse=True)[_KEPT:]:
        shutil.rmtree(each)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise LabError(f"{name} of an image is no file")
    return found


def _file(name: str, size: int, mode: int = 0o644) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size, found.mode = size, mode
    return found
