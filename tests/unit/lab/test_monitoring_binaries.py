"""Prometheus: taken where it is, otherwise unpacked once from Debian's package."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vmferry_lab.errors import LabError
from vmferry_lab.monitoring.binaries import find_or_unpack

APT = """#!/bin/sh
echo "$@" >> "{log}"
{trouble}
sleep 0.1
touch prometheus_2_amd64.deb
"""
DPKG = """#!/bin/sh
test -f "$2" || exit 1
mkdir -p "$3/usr/bin"
echo unpacked > "$3/usr/bin/prometheus"
echo unpacked > "$3/usr/bin/promtool"
"""


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose apt and dpkg only pretend; the log of apt's calls."""
    log, programs = tmp_path / "apt.log", tmp_path / "bin"
    programs.mkdir()

    def install(trouble=""):
        for name, text in (("apt-get", APT.format(log=log, trouble=trouble)), ("dpkg", DPKG)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        return log

    install()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    others = [each for each in os.environ["PATH"].split(":") if not (Path(each) / "promtool").exists()]
    monkeypatch.setenv("PATH", ":".join([str(programs), *others]))
    return install


def quiet(_text):
    pass


def test_it_is_unpacked_once_and_the_user_is_told(machine):
    log = machine()
    said, again = [], []
    found = find_or_unpack(said.append)
    assert found.promtool.read_text() == found.prometheus.read_text() == "unpacked\n"
    assert said[0] == (
        "downloading the Debian package prometheus, once (19 MB); it is unpacked, not installed"
    )
    assert "prometheus_2_amd64.deb: unpacked after" in said[1]
    assert find_or_unpack(again.append) == found
    assert again == []
    assert len(log.read_text().splitlines()) == 1


def test_two_at_once_download_once(machine):
    log = machine()
    with ThreadPoolExecutor() as pool:
        one, two = pool.map(find_or_unpack, [quiet, quiet])
    assert one == two
    assert len(log.read_text().splitlines()) == 1


def test_what_is_on_path_is_used(machine, tmp_path):
    log = machine()
    for name in ("prometheus", "promtool"):
        (tmp_path / "bin" / name).touch(mode=0o755)
    assert find_or_unpack(quiet).promtool == tmp_path / "bin" / "promtool"
    assert not log.exists()


def test_where_it_can_not_be_had_the_way_out_is_told_and_the_next_try_works(machine):
    machine(trouble='echo "E: Unable to locate package prometheus" >&2; exit 100')
    with pytest.raises(LabError, match=r"Unable to locate package prometheus; run `apt-get update` as root"):
        find_or_unpack(quiet)
    machine()
    assert find_or_unpack(quiet).prometheus.is_file()
