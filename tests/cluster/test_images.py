"""What is in the images that `make images` left, and that their commands run in nothing but them."""

import fnmatch
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from vmferry_lab.images.archives import ARTIFACTS, read, unpack
from vmferry_lab.images.build import TARGETS, source_of
from vmferry_lab.images.sboms import sbom

ROOT = Path(__file__).parents[2]
SITE = "opt/vmferry/lib/python3.13/site-packages"
OWN = {
    "vmferry-operator": {"vmferry_api", "vmferry_kube", "vmferry_operator"},
    "vmferry-agent": {"vmferry_api", "vmferry_kube", "vmferry_agent"},
}
LOCKS = {"vmferry-operator": "requirements-operator.txt", "vmferry-agent": "requirements-agent.txt"}
TOOLS = (
    *(
        "*bin/gcc*",
        "*bin/cc",
        "*bin/c++",
        "*bin/ld",
        "*bin/as",
        "*bin/make",
        "*/libexec/gcc/*",
        "usr/include/*.h",
    ),
    *("*bin/pip*", "*-packages/pip/*", "*-packages/setuptools/*", "*/ensurepip/*", "*bin/curl", "*bin/wget"),
)
SHEDDING = (
    "var/lib/apt/lists/*_*",
    "var/cache/apt/*.bin",
    "var/log/*.log",
    "*.deb",
    "tmp/*",
    "root/.cache/*",
)


def archive(name):
    return ROOT / "dist" / "images" / f"{name}.tar"


@pytest.fixture(scope="module", params=TARGETS)
def image(request):
    return read(archive(request.param))


@pytest.fixture(scope="module")
def name(image):
    return image.labels["org.opencontainers.image.title"]


@pytest.fixture(scope="module")
def run(name, tmp_path_factory):
    """Runs a command in the image's files alone, as its user."""
    root = tmp_path_factory.mktemp(name)
    unpack(archive(name), root)
    root.chmod(0o755)

    def run_in(*command):
        done = subprocess.run(
            ["chroot", "--userspec=65534:65534", root, *command],
            env={"PATH": "/opt/vmferry/bin:/usr/sbin:/usr/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run_in


def matching(image, patterns):
    return [path for path in image.entries if any(fnmatch.fnmatch(path, each) for each in patterns)]


def test_it_says_what_it_is(image, name):
    source = source_of(ROOT)
    label = "org.opencontainers.image"
    assert image.labels[f"{label}.version"] == source.version
    assert image.labels[f"{label}.revision"].removesuffix("-dirty") == source.revision.removesuffix("-dirty")
    assert image.labels[f"{label}.licenses"] == "Apache-2.0"
    assert [each.rpartition("/")[2] for each in image.tags] == [f"{name}:{source.version}"]


def test_a_kubelet_can_see_that_its_user_is_not_root(image):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", image.user)


def test_nothing_in_it_is_writable_for_its_user_or_gives_it_more_rights(image):
    own = [path for path, each in image.entries.items() if each.owner.startswith("65534")]
    anyone = [
        path
        for path, each in image.entries.items()
        if each.kind in ("file", "directory") and each.mode & 0o002 and not each.mode & 0o1000
    ]
    as_another = [path for path, each in image.entries.items() if each.kind == "file" and each.mode & 0o6000]
    assert (own, anyone, as_another) == ([], [], [])


def test_no_compiler_and_no_installer_are_left(image):
    assert matching(image, TOOLS) == []


def test_no_log_cache_or_list_is_left(image):
    assert matching(image, SHEDDING) == []


def test_neither_certificates_nor_pip_s_settings_of_the_builder_are_left(image):
    assert matching(image, ("run/secrets*", "etc/pip.conf", "*/pip/pip.conf", "*/ca.crt")) == []


def test_it_has_vmferry_s_packages_that_it_needs_and_no_other(image, name):
    packages = {
        path.split("/")[5] for path in image.entries if fnmatch.fnmatch(path, f"{SITE}/*/__init__.py")
    }
    assert {each for each in packages if "vmferry" in each} == OWN[name]


def test_its_only_commands_are_python_and_its_own(image, name):
    commands = {path.rpartition("/")[2] for path in image.entries if path.startswith("opt/vmferry/bin/")}
    assert commands == {name, "python", "python3", "python3.13"}


def test_all_that_was_installed_is_in_the_lock(image, name):
    lock = (ROOT / LOCKS[name]).read_text()
    digests = [line.split()[0] for line in image.texts[ARTIFACTS].splitlines()]
    assert len(digests) == len(re.findall(r"^[a-z0-9.-]+==", lock, re.MULTILINE))
    assert [each for each in digests if f"sha256:{each}" not in lock] == []


def test_each_python_package_in_its_bill_of_materials_has_its_hash(image):
    bill = sbom(image)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    packages = [each for each in json.loads(bill)["components"] if each["purl"].startswith("pkg:pypi/")]
    assert [each["name"] for each in packages if "hashes" not in each] == ["vmferry"]


def test_bytecode_does_not_depend_on_times(image, run):
    compiled = matching(image, (f"{SITE}/*.pyc",))
    assert len(compiled) > 1000
    check = "import sys; print({open(each, 'rb').read(8)[4:] for each in sys.argv[1:]})"
    assert run("python3", "-c", check, *(f"/{each}" for each in compiled[:500])) == (
        0,
        "{b'\\x01\\x00\\x00\\x00'}\n",
    )


def test_its_command_tells_its_version_and_what_it_takes(run, name):
    assert run(name, "--version") == (0, f"{name}, version {source_of(ROOT).version}\n")
    code, said = run(name, "--help")
    assert code == 0
    assert said.startswith(f"Usage: {name} ")


def test_the_agent_has_libvirt_and_the_operator_has_not(run, name):
    code, said = run("python3", "-c", "import libvirt; print(libvirt.getVersion() >= 11_000_000)")
    if name == "vmferry-agent":
        assert (code, said) == (0, "True\n")
    else:
        assert (code, said.splitlines()[-1]) == (1, "ModuleNotFoundError: No module named 'libvirt'")


def test_a_process_in_it_has_a_user_with_a_name(run):
    assert run("python3", "-c", "import getpass; print(getpass.getuser())") == (0, "nobody\n")


def test_an_image_is_found_alike_with_itself_and_different_from_another():
    operator, agent = map(archive, TARGETS)
    compare = [sys.executable, "-m", "vmferry_lab.images.compare"]
    same = subprocess.run([*compare, operator, operator], capture_output=True, text=True, check=True)
    assert same.stdout.endswith(" paths alike, 0 not\n")
    other = subprocess.run([*compare, operator, agent], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert f"{SITE}/vmferry_agent/main.py: only in the second\n" in other.stdout
