"""A daemon that asks nobody who he is must have a socket that is closed to others."""

import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from agent_configurations import configuration
from vmferry_agent import preflight
from vmferry_agent.decisions.preflight import Level, Refusal, lets_others, not_opened, open_to_all
from vmferry_agent.hypervisor import libvirt_sockets
from vmferry_agent.hypervisor.libvirt_sockets import look_at_sockets, ways_to_authenticate

PATH = "/run/libvirt/libvirt-sock"
NONE, POLKIT = 0, 2
"""libvirt's ways to authenticate."""


@pytest.mark.parametrize(
    ("mode", "directories", "others"),
    [
        (0o140666, [0o755, 0o755], True),
        (0o140662, [0o755, 0o755], True),
        (0o140664, [0o755, 0o755], False),  # to connect is to write
        (0o140660, [0o755, 0o755], False),
        (0o140666, [0o750, 0o755], False),
        (0o140777, [0o711, 0o755], True),
    ],
)
def test_others_may_connect_where_they_may_write_and_reach_it(mode, directories, others):
    assert lets_others(mode, directories) is others


def test_a_daemon_that_asks_nobody_at_an_open_socket_is_an_error_with_its_cure():
    (finding,) = open_to_all(PATH, asks=False)
    assert (finding.level, PATH in finding.what) == (Level.ERROR, True)
    assert "SocketMode=0660 in /etc/systemd/system/libvirtd.socket.d/vmferry.conf" in finding.cure


def test_one_that_asks_is_none_and_what_can_t_be_seen_is_said():
    assert open_to_all(PATH, asks=True) == []
    assert [each.level for each in open_to_all(PATH, asks=None)] == [Level.WARNING]


def test_who_is_told_to_do_without_polkit_is_told_first_to_close_the_socket():
    refusal = Refusal(code=1, domain=47, message="internal error: Unable to get system bus connection")
    cure = not_opened("qemu:///system", refusal, None).cure
    assert 0 < cure.index("SocketMode=0660") < cure.index('auth_unix_rw = "none"')


@pytest.fixture
def daemon(tmp_path):
    """A socket, open to all but for the test's directory, at which one answers that asks for these ways."""
    threads = []

    def start(*ways, times=1):
        path = tmp_path / "libvirt-sock"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        path.chmod(0o666)
        listening.listen()

        def answer():
            with listening:
                for _ in range(times):
                    with listening.accept()[0] as client:
                        asked = client.recv(28)
                        payload = struct.pack(f">I{len(ways)}I", len(ways), *ways)
                        head = (
                            struct.pack(">I", 28 + len(payload)) + asked[4:16] + struct.pack(">3I", 1, 0, 0)
                        )
                        client.sendall(head + payload)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return path

    yield start
    for each in threads:
        each.join()


@pytest.fixture
def reachable(daemon, monkeypatch):
    """As `daemon`, in directories that let others pass."""
    monkeypatch.setattr(libvirt_sockets, "lets_others", lambda mode, _: lets_others(mode, []))
    return daemon


@pytest.fixture
def run_as(monkeypatch):
    """Has this process be another user's."""

    def be(user):
        monkeypatch.setattr(os, "geteuid", lambda: user)

    return be


@pytest.fixture
def configurations(monkeypatch, tmp_path):
    """Where the daemons' are."""
    monkeypatch.setattr(libvirt_sockets, "SYSTEM_CONFIGURATION", tmp_path / "qemu.conf")
    return tmp_path


@pytest.mark.parametrize("ways", [[NONE], [POLKIT], [1, POLKIT]])
def test_a_daemon_tells_how_it_has_others_say_who_they_are(daemon, ways):
    assert ways_to_authenticate(daemon(*ways)) == ways


def test_what_is_no_daemon_tells_nothing(tmp_path):
    assert ways_to_authenticate(tmp_path / "missing") is None
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def hang_up():
            listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert ways_to_authenticate(tmp_path / "s") is None
        thread.join()


@pytest.mark.parametrize(("way", "levels"), [(NONE, [Level.ERROR]), (POLKIT, [])])
def test_an_agent_that_is_not_root_goes_by_what_it_is_asked_itself(reachable, run_as, way, levels):
    run_as(65534)
    found = look_at_sockets(f"qemu+unix:///system?socket={reachable(way)}")
    assert [each.level for each in found] == levels


@pytest.mark.parametrize(
    ("configured", "levels"),
    [('auth_unix_rw = "none"\n', [Level.ERROR]), ("#auth_unix_rw = none\n", []), (None, [Level.WARNING])],
)
def test_root_whom_no_daemon_asks_goes_by_its_configuration(
    reachable, run_as, configurations, configured, levels
):
    run_as(0)
    if configured is not None:
        (configurations / "libvirtd.conf").write_text(configured)
    found = look_at_sockets(f"qemu+unix:///system?socket={reachable(NONE)}")
    assert [each.level for each in found] == levels


def test_beside_virtqemud_the_first_socket_is_the_proxy_s(configurations):
    (configurations / "libvirtd.conf").write_text('auth_unix_rw = "none"\n')  # left over
    (configurations / "virtproxyd.conf").touch()
    own = configurations / "libvirt-sock"
    assert libvirt_sockets._configured(own) is False
    (configurations / "virtqemud-sock").touch()
    assert libvirt_sockets._configured(own) is True


def test_the_system_s_sockets_are_those_of_libvirtd_and_of_virtqemud():
    assert libvirt_sockets._sockets("qemu:///system") == [Path(PATH), Path("/run/libvirt/virtqemud-sock")]
    assert libvirt_sockets._sockets("qemu:///session") == []


def test_a_socket_that_is_closed_or_none_is_not_asked(tmp_path, reachable):
    (tmp_path / "file").write_text("")
    assert look_at_sockets(f"qemu+unix:///system?socket={tmp_path / 'file'}") == []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "closed"))
        (tmp_path / "closed").chmod(0o660)
        assert look_at_sockets(f"qemu+unix:///system?socket={tmp_path / 'closed'}") == []


async def test_it_is_among_what_is_looked_at_and_what_is_logged(reachable, run_as):
    run_as(65534)
    path = reachable(NONE, times=2)  # libvirt makes nothing of the first answer
    found = await preflight.check_libvirt(configuration(f"qemu+unix:///system?socket={path}"), deadline=5)
    assert f"every user of this host may connect to {path}" in " ".join(map(str, found))
