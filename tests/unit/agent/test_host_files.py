"""The host's files as its libvirt daemon sees them."""

import os
import socket

import pytest

from vmferry_agent.hypervisor import host_files as module
from vmferry_agent.hypervisor.host_files import HostFiles, host_files


@pytest.fixture
def daemon(tmp_path):
    """A socket at which this process listens, and its URI."""
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        yield f"qemu+unix:///session?socket={path}"


def test_a_daemon_in_the_agent_s_own_file_system_sees_what_the_agent_sees(daemon, tmp_path):
    files = host_files(daemon)
    assert files is not None
    (tmp_path / "link").symlink_to(tmp_path / "sock")
    seen = {name: files.has(str(tmp_path / name)) for name in ("sock", "link", "none", "sock/below")}
    assert seen == {"sock": True, "link": True, "none": False, "sock/below": False}


@pytest.mark.parametrize(
    "uri",
    ["qemu+tls://other/system", "test:///default", "qemu+unix:///session?socket=/no/such", "qemu:///session"],
)
def test_of_a_daemon_elsewhere_or_unknown_no_file_is_known(uri):
    assert host_files(uri) is None


def test_nor_of_one_that_lets_nobody_look(daemon, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_PROC", tmp_path)
    assert host_files(daemon) is None


def test_a_daemon_with_a_root_of_its_own_is_looked_at_through_that(daemon, monkeypatch, tmp_path):
    own, other = tmp_path / "self", tmp_path / str(os.getpid())
    for process in (own, other):
        (process / "ns").mkdir(parents=True)
        (process / "ns" / "mnt").touch()
        (process / "root").mkdir()
    monkeypatch.setattr(module, "_PROC", tmp_path)
    assert host_files(daemon) == HostFiles(root=other / "root")


def test_through_another_root_a_link_tells_nothing(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.img").touch()
    (tmp_path / "var").symlink_to("/images")
    files = HostFiles(root=tmp_path)
    seen = {path: files.has(path) for path in ("/images/a.img", "/images/b.img", "/var/a.img", "/var/b.img")}
    assert seen == {"/images/a.img": True, "/images/b.img": False, "/var/a.img": None, "/var/b.img": None}
