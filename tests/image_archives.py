"""Small images, written as an engine saves them."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

SITE = "opt/vmferry/lib/python3.13/site-packages"
STATUS = """\
Package: base-files
Status: install ok installed
Architecture: amd64
Version: 13.8
Description: a base
 with a second line

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
KOPF = f"{'a' * 64}  kopf-1.45.2-py3-none-any.whl\n"
LIBVIRT = f"{'b' * 64}  libvirt-python-12.8.0.tar.gz\n"


def package(name: str, version: str, licence: str = "MIT") -> dict[str, str]:
    """The files of a Python package that tell what it is."""
    directory = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
    text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {licence}\n\n# {name}\n"
    return {f"{directory}/METADATA": text}


FILES = {
    "var/lib/dpkg/status": STATUS,
    "opt/vmferry/artifacts.sha256": KOPF + LIBVIRT,
    **package("kopf", "1.45.2"),
    **package("libvirt-python", "12.8.0", "LGPL-2.1-or-later"),
    **package("vmferry", "0.2.0", "Apache-2.0"),
}


def write_image(
    path: Path,
    *layers: Mapping[str, str],
    title: str = "vmferry-agent",
    revision: str = "abc",
    user: str = "65534:65534",
) -> Path:
    """Write an image of layers: files by path, with their text; `-> PATH` makes a symbolic link."""
    label = "org.opencontainers.image"
    labels = {f"{label}.title": title, f"{label}.version": "0.2.0", f"{label}.revision": revision}
    config = {"User": user, "Entrypoint": [title], "Env": ["A=b=c"], "Labels": labels}
    names = [f"{number}.tar" for number in range(len(layers))]
    files = {
        "manifest.json": json.dumps(
            [{"Config": "c.json", "RepoTags": [f"{title}:0.2.0"], "Layers": names}]
        ).encode(),
        "c.json": json.dumps({"created": "2026-11-30T05:29:51Z", "config": config}).encode(),
        **{
            name: _tar({file: text.encode() for file, text in layer.items()})
            for name, layer in zip(names, layers, strict=True)
        },
    }
    path.write_bytes(_tar(files))
    return path


def _tar(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            if content.startswith(b"-> "):
                entry.type, entry.linkname = tarfile.SYMTYPE, content.decode().removeprefix("-> ")
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
