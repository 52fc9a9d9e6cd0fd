"""What is in an image, read from its docker-archive: no engine and no right is needed."""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True)
class Entry:
    """One file, directory or link of an image; not when it was made."""

    kind: str
    """`file`, `directory`, `symlink` or `other`."""
    mode: int
    owner: str
    """Numbers of user and group."""
    size: int = 0
    digest: str = ""
    """SHA-256 of a file's content."""
    target: str = ""
    """Where a symbolic link leads."""


@dataclass(frozen=True)
class Image:
    """An image as containers see it: its layers laid over each other."""

    number: str
    """What tells it from all others: the SHA-256 of its configuration, in which those of its layers are."""
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    user: str
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    created: datetime
    entries: Mapping[str, Entry]
    """By path, without the leading slash."""
    texts: Mapping[str, str]
    """The content of those files that tell what the image is made of, by path."""


ARTIFACTS = "opt/vmferry/artifacts.sha256"
"""What was installed from a package index: checksums and names, as sha256sum prints them."""
PACKAGES = "var/lib/dpkg/status"
METADATA = "*.dist-info/METADATA"
_KEPT = (ARTIFACTS, PACKAGES, METADATA)


def read(archive: Path) -> Image:
    """Read an image.

    Args:
        archive: A docker-archive of one image, with layers as plain tars.
    """
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(_member(outer, "manifest.json"))
        written = _member(outer, manifest["Config"]).read()
        described = json.loads(written)
        configuration = described["config"]
        entries: dict[str, Entry] = {}
        texts: dict[str, str] = {}
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=_member(outer, name)) as layer:
                _lay(layer, entries, texts)
    return Image(
        number=hashlib.sha256(written).hexdigest(),
        tags=tuple(manifest["RepoTags"] or ()),
        labels=configuration.get("Labels") or {},
        user=configuration.get("User", ""),
        entrypoint=tuple(configuration.get("Entrypoint") or ()),
        environment=dict(each.split("=", 1) for each in configuration.get("Env") or ()),
        created=datetime.fromisoformat(described["created"]),
        entries=entries,
        texts=texts,
    )


def number(archive: Path) -> str:
    """The image's number, without a look at its layers."""
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(_member(outer, "manifest.json"))
        return hashlib.sha256(_member(outer, manifest["Config"]).read()).hexdigest()


def unpack(archive: Path, directory: Path) -> None:
    """Lay the image's files out in a directory, as root also with their owners."""
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(_member(outer, "manifest.json"))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=_member(outer, name)) as layer:
                _lay_out(layer, directory)


def _lay_out(layer: tarfile.TarFile, directory: Path) -> None:
    for member in layer:
        path = directory / member.name
        if path.name == _OPAQUE:
            shutil.rmtree(path.parent)
            path.parent.mkdir()
        elif path.name.startswith(_WHITEOUT):
            gone = path.with_name(path.name.removeprefix(_WHITEOUT))
            shutil.rmtree(gone) if gone.is_dir() and not gone.is_symlink() else gone.unlink()
        else:
            layer.extract(member, directory, filter="fully_trusted")


def differences(one: Image, other: Image) -> list[str]:
    """The paths that the images do not have alike, with what is different; times do not count."""
    found = []
    for path in sorted(one.entries.keys() | other.entries.keys()):
        first, second = one.entries.get(path), other.entries.get(path)
        if first is None or second is None:
            found.append(f"{path}: only in the {'second' if first is None else 'first'}")
        elif first != second:
            found.append(f"{path}: {_what(first, second)}")
    return found


def _what(first: Entry, second: Entry) -> str:
    names = [
        name for name in ("kind", "mode", "owner", "target") if getattr(first, name) != getattr(second, name)
    ]
    return ", ".join(names or ["content"])


def _lay(layer: tarfile.TarFile, entries: dict[str, Entry], texts: dict[str, str]) -> None:
    for member in layer:
        path = str(PurePosixPath(member.name)).removeprefix("/")
        if path == ".":
            continue
        if PurePosixPath(path).name.startswith(_WHITEOUT):
            _remove(path, entries, texts)
            continue
        if member.islnk():
            entries[path] = entries[str(PurePosixPath(member.linkname))]
            continue
        content = _content(layer, member)
        entries[path] = _entry(member, content)
        if member.isfile() and any(PurePosixPath(path).match(each) for each in _KEPT):
            texts[path] = content.decode()


def _remove(path: str, entries: dict[str, Entry], texts: dict[str, str]) -> None:
    where = PurePosixPath(path)
    inside = f"{where.parent}/"
    gone = str(where.parent / where.name.removeprefix(_WHITEOUT))
    for each in list(entries):
        if each.startswith(inside) if where.name == _OPAQUE else each == gone or each.startswith(f"{gone}/"):
            del entries[each]
            texts.pop(each, None)


def _content(layer: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = layer.extractfile(member) if member.isfile() else None
    return file.read() if file else b""


def _entry(member: tarfile.TarInfo, content: bytes) -> Entry:
    kinds = {tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "symlink"}
    return Entry(
        kind="file" if member.isfile() else kinds.get(member.type, "other"),
        mode=member.mode,
        owner=f"{member.uid}:{member.gid}",
        size=member.size,
        digest=hashlib.sha256(content).hexdigest() if member.isfile() else "",
        target=member.linkname if member.issym() else "",
    )


def _member(outer: tarfile.TarFile, name: str) -> Any:  # noqa: ANN401 - tarfile's
    member = outer.getmember(name)
    if member.issym():  # how some engines name a layer twice
        member = outer.getmember(str(PurePosixPath(name).parent / member.linkname))
    return outer.extractfile(member)
