"""Each trouble with a host has its own cure."""

import socket
from dataclasses import replace

import pytest

from agent_configurations import configuration
from vmferry_agent import preflight
from vmferry_agent.decisions.preflight import (
    Level,
    Refusal,
    Socket,
    capable,
    no_qemu,
    not_opened,
    reached,
    rights,
    socket_named,
)
from vmferry_agent.hypervisor.libvirt_preflight import _socket, look_at_daemon
from vmferry_api.features import Feature

SYSTEM = "qemu:///system"
PATH = "/var/run/libvirt/libvirt-sock"


def connecting(errno):
    """What libvirt says, as measured on real hosts."""
    return Refusal(code=38, domain=7, message=f"Failed to connect socket to '{PATH}': {errno}")


def unknown(kind, number):
    """What the daemon of a host says that does not know as whom a pod runs, as measured."""
    return Refusal(code=38, domain=0, message=f"Failed to find {kind} record for {number} '65534'")


POLKIT = Refusal(
    code=1,
    domain=47,
    message="internal error: Unable to get system bus connection: Could not connect: No such file or directory",
)


@pytest.mark.parametrize(
    ("refusal", "socket", "cure"),
    [
        (
            connecting("No such file or directory"),
            Socket(exists=False),
            "mount the host's directory /run/libvirt",
        ),
        (connecting("Permission denied"), Socket(exists=True, group="libvirt"), "in the group libvirt;"),
        (connecting("Permission denied"), Socket(exists=True, group="111"), "in the group 111;"),
        (connecting("Permission denied"), Socket(exists=False), "the group that owns it (ls -l)"),
        (connecting("Connection refused"), Socket(exists=True), "nobody listens there"),
        (connecting("Connection refused"), Socket(exists=True, is_directory=True), "rmdir"),
        (POLKIT, None, 'auth_unix_rw = "none"'),
        (Refusal(code=94, domain=46, message="no polkit agent available"), None, 'auth_unix_rw = "none"'),
        (Refusal(code=45, domain=46, message="authentication failed"), None, 'auth_unix_rw = "none"'),
        (Refusal(code=5, domain=0, message="no connection driver available"), None, "--libvirt-uri must be"),
        (unknown("user", "uid"), None, "(useradd --system --uid 65534 vmferry)"),
        (unknown("group", "gid"), None, "(groupadd --system --gid 65534 vmferry)"),
        (
            Refusal(code=38, domain=7, message="End of file while reading data"),
            None,
            "journalctl -u libvirtd",
        ),
    ],
)
def test_a_daemon_that_can_t_be_opened_is_an_error_with_its_cure(refusal, socket, cure):
    finding = not_opened(SYSTEM, refusal, socket)
    assert finding.level == Level.ERROR
    assert refusal.message in finding.what
    assert cure in finding.cure


def test_the_socket_is_the_one_that_libvirt_names():
    assert socket_named(connecting("Permission denied").message) == PATH
    assert socket_named(POLKIT.message) is None


def test_a_host_without_qemu_is_told_from_one_without_a_daemon():
    finding = no_qemu(SYSTEM, Refusal(code=1, domain=10, message="Cannot find suitable emulator for x86_64"))
    assert (finding.level, "install QEMU" in finding.cure) == (Level.ERROR, True)


@pytest.mark.parametrize(
    ("features", "lacks"),
    [
        ({Feature.POST_COPY, Feature.TLS}, []),
        ({Feature.TLS}, ["userfaultfd"]),
        ({Feature.POST_COPY}, ["certificates"]),
        (set(), ["userfaultfd", "certificates"]),
    ],
)
def test_what_a_host_can_not_do_is_a_warning(features, lacks):
    ok, *warnings = capable("9.0.0", "7.2.22", features)
    assert (ok.level, ok.what.startswith("libvirt 9.0.0, QEMU 7.2.22: ")) == (Level.OK, True)
    assert [warning.level for warning in warnings] == [Level.WARNING] * len(lacks)
    assert all(word in warning.what for word, warning in zip(lacks, warnings, strict=True))


@pytest.mark.parametrize(
    ("found", "level"), [("own", Level.OK), ("other", Level.ERROR), (None, Level.WARNING)]
)
def test_where_other_hosts_are_led_must_be_this_host(found, level):
    assert reached("qemu+tls://a/system", own="own", found=found, trouble="refused").level == level


async def test_where_they_are_led_is_not_looked_at_where_it_is_not_known():
    unknown = replace(configuration(), connect_uri=None)
    assert await preflight.check_connect_uri(unknown) == []


@pytest.mark.parametrize(
    ("missing", "lease", "levels"),
    [
        ([], True, [Level.OK]),
        (["patch vmmigrations/status"], True, [Level.ERROR]),
        ([], False, [Level.WARNING]),
        (["get vmmigrations"], False, [Level.ERROR, Level.WARNING]),
    ],
)
def test_a_lease_is_information_and_the_other_rights_are_needed(missing, lease, levels):
    assert [finding.level for finding in rights(missing, lease=lease)] == levels


def test_a_real_socket_is_looked_at(tmp_path):
    (tmp_path / "libvirt-sock").mkdir()
    assert _socket(tmp_path / "libvirt-sock").is_directory
    assert _socket(tmp_path / "missing") == Socket(exists=False)


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_libvirt_s_own_words_lead_to_the_cure(tmp_path, kind):
    path = tmp_path / "libvirt-sock"
    if kind == "directory":
        path.mkdir()
    (finding,) = look_at_daemon(f"qemu+unix:///system?socket={path}")
    assert ("rmdir" if kind == "directory" else "there is no such socket") in finding.cure


async def test_a_daemon_that_hangs_is_told_of_after_the_deadline(tmp_path):
    """One that accepts and says nothing, as a stopped one does."""
    path = tmp_path / "libvirt-sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        uri = f"qemu+unix:///system?socket={path}"
        (finding,) = await preflight.check_libvirt(configuration(uri), deadline=0.2)
    assert finding.what == f"{uri} has not answered for 0.2 s"
    assert "restart it" in finding.cure
