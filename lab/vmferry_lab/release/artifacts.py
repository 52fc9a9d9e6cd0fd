"""The files of a release. Each is the same whenever it is made of the same commit."""

import gzip
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Set
from pathlib import Path

from vmferry_lab.errors import LabError
from vmferry_lab.images.archives import read
from vmferry_lab.images.build import Source
from vmferry_lab.images.commands import run
from vmferry_lab.images.sboms import sbom
from vmferry_lab.kubectl import kubectl_path

SUMS = "SHA256SUMS"
_IMAGE = re.compile(r"(?<=image: )(vmferry-(?:operator|agent)):\S+")
_CHART_VERSION = re.compile(r"^(version|appVersion): .*$", re.MULTILINE)


def wheel(checkout: Path, source: Source, output: Path) -> None:
    """The Python package, with the plugin, operator, agent and lab."""
    hatchling = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(output)]
    run(["env", "-C", checkout, f"SOURCE_DATE_EPOCH={source.epoch}", *hatchling])


def bundles(checkout: Path, source: Source, output: Path) -> None:
    """One file of manifests for each overlay, and one of the CRDs alone."""
    for overlay in sorted((checkout / "manifests" / "overlays").iterdir()):
        manifests = stamped(_kustomized(overlay), source.version)
        (output / f"vmferry-{source.version}-{overlay.name}.yaml").write_text(manifests)
    (output / f"vmferry-{source.version}-crds.yaml").write_text(_kustomized(checkout / "crds"))


def stamped(manifests: str, version: str) -> str:
    """With the version as tag of vmferry's images, whatever the checkout's manifests say."""
    return _IMAGE.sub(rf"\g<1>:{version}", manifests)


def kustomizations(checkout: Path, source: Source, output: Path) -> None:
    """All that can be put together by kustomize: CRDs, base, overlays, components, examples, presets."""
    manifests = checkout / "manifests"
    found = [*(checkout / "crds").glob("*.yaml"), *(each for each in manifests.rglob("*") if each.is_file())]
    files = {
        f"vmferry-{source.version}/{path.relative_to(checkout)}": path
        for path in found
        if manifests / "chart" not in path.parents and path.suffix not in (".py", ".pyc")
    }
    contents = {name: _content(path, source.version) for name, path in files.items()}
    programs = {name for name, path in files.items() if path.stat().st_mode & 0o100}
    archive = output / f"vmferry-{source.version}-manifests.tar.gz"
    archive.write_bytes(_packed(contents, programs, source.epoch))


def _content(path: Path, version: str) -> bytes:
    return stamped(path.read_text(), version).encode()


def chart(checkout: Path, source: Source, output: Path) -> None:
    """The Helm chart as `helm package` names it; that would put the time into it."""
    root = checkout / "manifests" / "chart"
    found = [each for each in root.rglob("*") if each.is_file()]
    contents = {f"vmferry/{path.relative_to(root)}": path.read_bytes() for path in found}
    about = contents["vmferry/Chart.yaml"].decode()
    contents["vmferry/Chart.yaml"] = _CHART_VERSION.sub(rf"\g<1>: {source.version}", about).encode()
    archive = output / f"vmferry-{source.version}.tgz"
    archive.write_bytes(_packed(contents, set(), source.epoch))


def _packed(contents: Mapping[str, bytes], programs: Set[str], epoch: int) -> bytes:
    """A compressed tar of files by name, those that are programs with the right to be run."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in sorted(contents.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o755 if name in programs else 0o644, epoch
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=epoch)


def described(images: list[Path], source: Source, output: Path) -> None:
    """A bill of materials for each image, and a file with the numbers of all.

    Raises:
        LabError: An image is not made of this commit.
    """
    lines = []
    for archive in images:
        image = read(archive)
        revision = image.labels.get("org.opencontainers.image.revision")
        if revision != source.revision:
            raise LabError(f"{archive} is of revision {revision}, not {source.revision}: run `make images`")
        name = image.labels["org.opencontainers.image.title"]
        (output / f"{name}-{source.version}.cdx.json").write_text(sbom(image))
        lines.append(f"sha256:{image.number}  {name}:{source.version}\n")
    (output / f"vmferry-{source.version}-images.txt").write_text("".join(sorted(lines)))


def changelog(checkout: Path, output: Path) -> None:
    """What has changed, for who reads the release."""
    shutil.copyfile(checkout / "CHANGELOG.md", output / "CHANGELOG.md")


def sums(output: Path) -> None:
    """SHA256SUMS of all files there, as `sha256sum --check` reads it."""
    files = sorted(each for each in output.iterdir() if each.name != SUMS)
    lines = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in files]
    (output / SUMS).write_text("".join(lines))


def _kustomized(directory: Path) -> str:
    done = subprocess.run(
        [kubectl_path(), "kustomize", directory], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LabError(f"kubectl kustomize {directory}: {done.stderr.strip()}")
    return done.stdout
