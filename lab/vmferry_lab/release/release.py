"""Put a release together in dist/release."""

import shutil
from pathlib import Path

from vmferry_lab.errors import LabError
from vmferry_lab.images.build import Source, source_of
from vmferry_lab.release import artifacts
from vmferry_lab.release.changelog import trouble as trouble_with


def release(checkout: Path, images: list[Path]) -> Path:
    """Make it anew, from a commit and the images of the same commit.

    Args:
        checkout: The checkout of the commit, with nothing changed.
        images: The images as docker-archives.

    Returns:
        The directory with its files.

    Raises:
        LabError: It may not be released as it is, in words.
    """
    source = source_of(checkout)
    if trouble := _trouble(checkout, source):
        raise LabError(f"no release: {trouble}")
    output = checkout / "dist" / "release"
    work = output.with_name("release.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    artifacts.wheel(checkout, source, work)
    artifacts.chart(checkout, source, work)
    artifacts.kustomizations(checkout, source, work)
    artifacts.bundles(checkout, source, work)
    artifacts.described(images, source, work)
    artifacts.changelog(checkout, work)
    artifacts.sums(work)
    shutil.rmtree(output, ignore_errors=True)
    work.replace(output)
    return output


def _trouble(checkout: Path, source: Source) -> str:
    if source.revision == "unknown":
        return f"{checkout} is no git checkout"
    if source.dirty:
        return "files differ from the commit (`git status`)"
    changelog = checkout / "CHANGELOG.md"
    return trouble_with(changelog.read_text() if changelog.is_file() else "", source.version)
