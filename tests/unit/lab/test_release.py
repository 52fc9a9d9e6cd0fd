"""A release is made of a commit alone, and the same commit makes the same release."""

import hashlib
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from image_archives import FILES, write_image
from vmferry_lab.errors import LabError
from vmferry_lab.images.archives import number
from vmferry_lab.images.build import source_of
from vmferry_lab.kubectl import kubectl_path
from vmferry_lab.release.artifacts import stamped
from vmferry_lab.release.changelog import trouble
from vmferry_lab.release.release import release

ROOT = Path(__file__).parents[3]
NAMES = {
    "CHANGELOG.md",
    "SHA256SUMS",
    "vmferry-0.2.0-crds.yaml",
    "vmferry-0.2.0-ha.yaml",
    "vmferry-0.2.0-images.txt",
    "vmferry-0.2.0-manifests.tar.gz",
    "vmferry-0.2.0-monitoring.yaml",
    "vmferry-0.2.0-py3-none-any.whl",
    "vmferry-0.2.0-single.yaml",
    "vmferry-0.2.0.tgz",
    "vmferry-agent-0.2.0.cdx.json",
    "vmferry-operator-0.2.0.cdx.json",
}


def git(checkout, *words):
    date = "2026-11-30T06:00:00Z"
    environment = {"PATH": "/usr/bin:/bin", "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    who = ("-c", "user.name=x", "-c", "user.email=x@example.com")
    subprocess.run(["git", "-C", checkout, *who, *words], check=True, capture_output=True, env=environment)


def commit(directory):
    """A repository of one commit with this checkout's files as they are."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, directory / name)
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "Release")
    return directory


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return commit(tmp_path_factory.mktemp("checkout"))


def images_of(checkout, directory):
    revision = source_of(checkout).revision
    return [
        write_image(directory / f"{title}.tar", FILES, title=title, revision=revision)
        for title in ("vmferry-operator", "vmferry-agent")
    ]


@pytest.fixture(scope="module")
def released(checkout, tmp_path_factory):
    return release(checkout, images_of(checkout, tmp_path_factory.mktemp("images")))


def test_it_has_what_is_installed_and_what_tells_of_it(released):
    assert {each.name for each in released.iterdir()} == NAMES


def test_its_sums_are_right_and_of_all_files(released):
    lines = [line.split("  ") for line in (released / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in lines} == NAMES - {"SHA256SUMS"}
    for digest, name in lines:
        assert hashlib.sha256((released / name).read_bytes()).hexdigest() == digest


def test_it_names_its_images_by_what_tells_them_from_all_others(checkout, released, tmp_path):
    """SHA256SUMS holds them through this file; archives themselves are no part of a release."""
    numbers = {f"sha256:{number(each)}  {each.stem}:0.2.0" for each in images_of(checkout, tmp_path)}
    assert set((released / "vmferry-0.2.0-images.txt").read_text().splitlines()) == numbers


def test_the_same_commit_makes_the_same_release_elsewhere_and_later(released, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = release(commit(elsewhere), images_of(elsewhere, tmp_path))
    assert (again / "SHA256SUMS").read_text() == (released / "SHA256SUMS").read_text()


@pytest.mark.parametrize("overlay", ["single", "ha", "monitoring"])
def test_a_bundle_runs_the_version_that_it_is_of(released, overlay):
    objects = list(yaml.safe_load_all((released / f"vmferry-0.2.0-{overlay}.yaml").read_text()))
    images = [
        container["image"]
        for each in objects
        if each["kind"] in ("Deployment", "DaemonSet")
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    assert sorted(images) == ["vmferry-agent:0.2.0", "vmferry-operator:0.2.0"]


def test_what_it_has_for_kustomize_gives_what_the_checkout_gives(released, tmp_path):
    with tarfile.open(released / "vmferry-0.2.0-manifests.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    unpacked = tmp_path / "vmferry-0.2.0"
    for each in ("manifests/overlays/ha", "manifests/policies", "manifests/examples/cert-manager"):
        assert kustomized(unpacked / each) == kustomized(ROOT / each)
    components = {each.name for each in (ROOT / "manifests" / "components").iterdir()}
    assert {each.name for each in (unpacked / "manifests" / "components").iterdir()} == components
    assert not [*unpacked.rglob("*.py"), *unpacked.rglob("chart")]


def kustomized(directory):
    words = [kubectl_path(), "kustomize", directory]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout


def test_another_tag_in_the_manifests_gives_way_to_the_version():
    manifests = "image: vmferry-agent:dev\nimage: other:dev\n  image: vmferry-operator:0.1.0\n"
    assert stamped(manifests, "1.2.3") == (
        "image: vmferry-agent:1.2.3\nimage: other:dev\n  image: vmferry-operator:1.2.3\n"
    )


def test_the_chart_is_of_the_version(released):
    with tarfile.open(released / "vmferry-0.2.0.tgz") as chart:
        described = yaml.safe_load(chart.extractfile("vmferry/Chart.yaml").read())
        assert "vmferry/values.yaml" in chart.getnames()
    assert (described["version"], described["appVersion"]) == ("0.2.0", "0.2.0")


def test_the_wheel_holds_the_packages_and_their_commands(released):
    with zipfile.ZipFile(released / "vmferry-0.2.0-py3-none-any.whl") as wheel:
        names = wheel.namelist()
        commands = wheel.read("vmferry-0.2.0.dist-info/entry_points.txt").decode()
    assert {"vmferry_operator/main.py", "vmferry_agent/main.py", "kubectl_vmferry/main.py"} <= set(names)
    assert "vmferry-operator = vmferry_operator.main:main" in commands


def test_files_that_differ_from_the_commit_are_not_released(tmp_path):
    checkout = commit(tmp_path)
    with (checkout / "README.md").open("a") as readme:
        readme.write("more\n")
    with pytest.raises(LabError, match="no release: files differ from the commit"):
        release(checkout, [])


def test_images_of_another_commit_are_not_described(checkout, tmp_path):
    older = write_image(tmp_path / "i.tar", FILES, revision="older")
    with pytest.raises(LabError, match=r"is of revision older, not .*: run `make images`"):
        release(checkout, [older])


@pytest.mark.parametrize(
    ("changelog", "told"),
    [
        ("## [0.2.0] - 2026-11-30\n- more\n\n## [0.1.0] - 2026-11-29\n- all\n", ""),
        ("## [0.1.0] - 2026-11-29\n- all\n", "CHANGELOG.md has no section for 0.2.0; it has 0.1.0"),
        ("", "CHANGELOG.md has no section for 0.2.0; it has none"),
        (
            "## [0.2.0]\n- more\n",
            "CHANGELOG.md gives 0.2.0 no date: its section begins with `## [0.2.0] - YYYY-MM-DD`",
        ),
        ("## [0.2.0] - 2026-11-30\n\n## [0.1.0] - 2026-11-29\n- all\n", "CHANGELOG.md says nothing of 0.2.0"),
    ],
    ids=["told of", "not told of", "empty", "without a date", "without words"],
)
def test_a_version_is_released_that_the_changelog_tells_of(changelog, told):
    assert trouble(changelog, "0.2.0") == told
