"""A lab removes no directory that is not a lab's, and one process at a time works in one."""

import subprocess
import sys

import pytest

from vmferry_lab import directories
from vmferry_lab.errors import LabError


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "lab"


def test_a_new_directory_and_an_empty_one_are_taken(directory):
    directories.prepare(directory)
    directories.prepare(directory)
    with directories.alone(directory):
        (directory / "something").touch()
    directories.prepare(directory)


def test_hosts_that_run_as_another_user_get_through(directory):
    directories.prepare(directory)
    assert directory.stat().st_mode & 0o777 == 0o711


def test_what_somebody_else_put_something_into_is_refused(directory):
    directory.mkdir()
    (directory / "precious").touch()
    with pytest.raises(LabError, match="is no lab's directory"):
        directories.prepare(directory)


def test_another_user_s_directory_is_refused(directory, monkeypatch):
    directory.mkdir()
    monkeypatch.setattr(directories.os, "geteuid", lambda: directory.stat().st_uid + 1)
    with pytest.raises(LabError, match="belongs to another user"):
        directories.prepare(directory)


def test_a_second_one_is_kept_off(directory):
    directories.prepare(directory)
    with (
        directories.alone(directory),
        pytest.raises(LabError, match="another `vmferry-lab up` or `down` is at work there"),
        directories.alone(directory),
    ):
        pass
    with directories.alone(directory):
        pass


def test_one_that_was_killed_keeps_nobody_off(directory):
    directories.prepare(directory)
    holder = (
        "import time; from pathlib import Path; from vmferry_lab import directories;"
        f"hold = directories.alone(Path({str(directory)!r})); hold.__enter__(); print(flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"\n", "it holds it"
            assert _is_held(directory)
        finally:
            process.kill()
    assert not _is_held(directory)


def _is_held(directory):
    try:
        with directories.alone(directory):
            return False
    except LabError:
        return True


def test_the_environment_says_where_a_lab_is(monkeypatch, tmp_path):
    monkeypatch.setenv("VMFERRY_LAB_DIR", str(tmp_path))
    assert directories.default_directory() == tmp_path
    monkeypatch.delenv("VMFERRY_LAB_DIR")
    assert directories.default_directory().name.startswith("vmferry-lab-")
