"""What a host says that it can do, and from what."""

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from vmferry_agent.hypervisor import libvirt_daemons
from vmferry_agent.hypervisor.features import Files, features
from vmferry_agent.hypervisor.libvirt_daemons import (
    Daemon,
    Owner,
    dac_owner,
    daemon_behind,
    read_settings,
)
from vmferry_api.features import Feature

QEMU = Owner(user=64055, group=994)
SYSTEM = Daemon(system=True, qemu=QEMU)
SESSION = Daemon(system=False, qemu=Owner(user=1000, group=1000))
KEEPS = {"clear_emulator_capabilities": "0"}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An ordinary host: userfaultfd for root only, no certificates."""
    made = Files(
        unprivileged_userfaultfd=tmp_path / "unprivileged_userfaultfd",
        userfaultfd=tmp_path / "userfaultfd",
        migration_certificates=tmp_path / "libvirt-migrate",
        certificates=tmp_path / "qemu",
    )
    made.unprivileged_userfaultfd.write_text("0\n")
    made.userfaultfd.touch(mode=0o600)
    return made


def certify(directory: Path) -> None:
    directory.mkdir()
    for name in ("ca-cert.pem", "server-cert.pem"):
        (directory / name).touch()


def found(files, daemon=SYSTEM, qemu=7_002_000, library=9_000_000):
    return features(qemu_version=qemu, libvirt_version=library, daemon=daemon, files=files)


@pytest.mark.parametrize(
    ("qemu", "library", "there"),
    [
        (7_002_000, 9_000_000, {Feature.PARALLEL, Feature.ZERO_COPY}),
        (3_001_000, 9_000_000, set()),
        (10_001_000, 9_000_000, {Feature.PARALLEL, Feature.ZERO_COPY}),
        (10_001_000, 11_000_000, {Feature.PARALLEL, Feature.ZLIB, Feature.ZSTD, Feature.ZERO_COPY}),
    ],
)
def test_what_versions_can_do(files, qemu, library, there):
    assert found(files, qemu=qemu, library=library) == there


def test_of_a_daemon_that_nothing_is_known_of_only_versions_count(files):
    files.unprivileged_userfaultfd.write_text("1")
    assert found(files, daemon=None) == {Feature.PARALLEL}


def test_a_user_s_daemon_can_not_lock_the_memory_that_zero_copy_needs(files):
    assert Feature.ZERO_COPY not in found(files, daemon=SESSION)


@pytest.mark.parametrize(
    ("daemon", "setting", "may"),
    [
        (SYSTEM, "0", False),
        (SYSTEM, "1", True),
        (SESSION, "1\n", True),
        (replace(SYSTEM, settings=None), "1", True),
        (replace(SYSTEM, qemu=Owner(user=0, group=0)), "0", False),
        (replace(SYSTEM, qemu=Owner(user=0, group=0), settings=KEEPS), "0", True),
        (replace(SYSTEM, settings=KEEPS), "0", False),
        (replace(SESSION, ambient_ptrace=True), "0", False),
        (replace(SESSION, ambient_ptrace=True, settings=KEEPS), "0", True),
        (replace(SESSION, settings=KEEPS), "0", False),
        (replace(SYSTEM, qemu=None, settings=KEEPS), "0", False),
    ],
)
def test_post_copy_needs_userfaultfd(files, daemon, setting, may):
    files.unprivileged_userfaultfd.write_text(setting)
    assert (Feature.POST_COPY in found(files, daemon=daemon)) == may


def test_a_kernel_without_the_setting_is_no_error(files):
    files.unprivileged_userfaultfd.unlink()
    files.userfaultfd.unlink()
    assert Feature.POST_COPY not in found(files, qemu=10_000_000)


@pytest.mark.parametrize(
    ("mode", "owner", "qemu", "may"),
    [
        (0o666, QEMU, 10_000_000, True),
        (0o666, QEMU, 7_002_000, False),
        (0o600, QEMU, 10_000_000, False),
        (0o600, Owner(user=os.geteuid(), group=994), 10_000_000, True),
        (0o660, Owner(user=64055, group=os.getegid()), 10_000_000, True),
        (0o606, Owner(user=64055, group=os.getegid()), 10_000_000, False),
    ],
)
def test_or_a_qemu_that_may_open_the_device_and_knows_of_it(files, mode, owner, qemu, may):
    files.userfaultfd.chmod(mode)
    daemon = Daemon(system=True, qemu=owner)
    assert (Feature.POST_COPY in found(files, daemon=daemon, qemu=qemu)) == may


@pytest.mark.parametrize(
    ("settings", "there", "encrypts"),
    [
        ({}, [], False),
        ({}, ["qemu"], True),
        ({}, ["libvirt-migrate"], True),
        ({"default_tls_x509_cert_dir": "own"}, ["own"], True),
        ({"default_tls_x509_cert_dir": "own"}, ["qemu"], False),
        ({"migrate_tls_x509_cert_dir": "own"}, ["own"], True),
        ({"migrate_tls_x509_cert_dir": "own"}, ["libvirt-migrate", "qemu"], False),
        (None, ["qemu"], False),
    ],
)
def test_encryption_needs_certificates_where_qemu_looks_for_them(tmp_path, files, settings, there, encrypts):
    for name in there:
        certify(tmp_path / name)
    given = None if settings is None else {name: str(tmp_path / each) for name, each in settings.items()}
    assert (Feature.TLS in found(files, daemon=replace(SYSTEM, settings=given))) == encrypts


def test_a_certificate_without_its_authority_s_is_not_enough(tmp_path, files):
    certify(tmp_path / "qemu")
    (tmp_path / "qemu" / "ca-cert.pem").unlink()
    assert Feature.TLS not in found(files)


CAPABILITIES = """<capabilities><host>
<secmodel><model>apparmor</model><doi>0</doi></secmodel>
<secmodel><model>dac</model><doi>0</doi>
<baselabel type='kvm'>+64055:+994</baselabel><baselabel type='qemu'>+0:+0</baselabel></secmodel>
</host></capabilities>"""


def test_qemu_runs_as_the_user_of_libvirt_s_label():
    assert dac_owner(CAPABILITIES) == QEMU
    assert dac_owner("<capabilities><host/></capabilities>") is None


def test_of_qemu_conf_the_settings_that_are_in_force_are_read():
    text = """
# clear_emulator_capabilities = 1
clear_emulator_capabilities = 0
migrate_tls_x509_cert_dir="/etc/pki/own"  # ours
cgroup_device_acl = [
    "/dev/null",
]
"""
    assert read_settings(text) == {
        "clear_emulator_capabilities": "0",
        "migrate_tls_x509_cert_dir": "/etc/pki/own",
    }


class Connection:
    """As much of virConnect as is asked for who the daemon is."""

    def __init__(self, uri: str, capabilities: str = CAPABILITIES) -> None:
        self._uri, self._capabilities = uri, capabilities

    def getURI(self) -> str:  # noqa: N802 - libvirt's
        return self._uri

    def getCapabilities(self) -> str:  # noqa: N802
        return self._capabilities


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    """Where the system's daemon and the user's have their qemu.conf."""
    (tmp_path / "libvirt").mkdir()
    path = tmp_path / "libvirt" / "qemu.conf"
    monkeypatch.setattr(libvirt_daemons, "SYSTEM_CONFIGURATION", path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return path


def test_the_system_s_daemon_is_known_by_its_capabilities_and_qemu_conf(configuration):
    configuration.write_text("clear_emulator_capabilities = 0\n")
    assert daemon_behind(Connection("qemu:///system")) == Daemon(system=True, qemu=QEMU, settings=KEEPS)


def test_without_a_qemu_conf_libvirt_has_its_defaults(configuration):
    assert daemon_behind(Connection("qemu:///system")).settings == {}


def test_a_qemu_conf_that_can_t_be_read_is_not_taken_for_none(configuration):
    configuration.mkdir()
    assert daemon_behind(Connection("qemu:///system")).settings is None


def test_a_user_s_own_daemon_is_the_user_s(configuration):
    configuration.write_text("clear_emulator_capabilities = 0\n")
    daemon = daemon_behind(Connection("qemu:///session"))
    assert (daemon.system, daemon.qemu.user, daemon.settings) == (False, os.geteuid(), KEEPS)


def test_who_listens_at_a_socket_is_asked_of_the_kernel(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        daemon = daemon_behind(Connection(f"qemu+unix:///session?socket={path}"))
    assert daemon.qemu == Owner(user=os.geteuid(), group=os.getegid())


def test_nothing_is_known_of_a_daemon_that_does_not_listen_or_is_elsewhere(tmp_path):
    gone = daemon_behind(Connection(f"qemu+unix:///session?socket={tmp_path}/none"))
    assert (gone.qemu, gone.settings) == (None, None)
    assert daemon_behind(Connection("qemu+tls://node-b/system")) is None
    assert daemon_behind(Connection("test:///default")) is None
