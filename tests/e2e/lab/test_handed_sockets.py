"""Who gets in at a socket that libvirtd is handed, as systemd does, and what the agent says of it."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import libvirt
import pytest
from kernel_leftovers import left_of

from doc_pages import ROOT
from vmferry_agent.hypervisor.libvirt_sockets import look_at_sockets
from vmferry_lab import processes
from vmferry_lab.hosts.daemon import libvirtd
from vmferry_lab.hosts.kinds import check_nodes_possible
from vmferry_lab.hosts.networks import remove_networks
from vmferry_lab.hosts.node import NodeHost, new_nodes
from vmferry_lab.hosts.node_files import GROUP_ID
from vmferry_lab.hosts.privileges import NOBODY

SHIPPED = 0o666
"""SocketMode in the libvirtd.socket of distributions whose libvirt knows polkit."""
HANDS = """
import os, socket, sys
path, mode, group, *command = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(path)
    os.chown(path, 0, int(group))
    os.chmod(path, int(mode, 8))
    listening.listen()
    os.dup2(listening.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "libvirtd.socket"}
    os.execv(command[0], command)
"""


class Handed(NodeHost):
    """A node whose daemon is handed its socket."""

    mode, group, authentication = SHIPPED, 0, "none"

    @property
    def socket(self):
        return self.directory.parent.parent / "run" / "libvirt-sock"

    @property
    def uri(self):
        return f"qemu+unix:///system?socket={self.socket}"

    def _start_daemon(self):
        self.socket.unlink(missing_ok=True)
        configuration = self.directory / "etc" / "libvirtd.conf"
        text = re.sub(r'(auth_unix_rw = )"\w+"', rf'\1"{self.authentication}"', configuration.read_text())
        configuration.write_text(text)
        return processes.start(
            self._daemon,
            [sys.executable, "-c", HANDS, self.socket, f"{self.mode:o}", str(self.group), libvirtd()],
            lab=self.network.lab,
            log=self._output("libvirtd-"),
            through=self.command(),
            environment={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": "/root"},
        )


@pytest.fixture(scope="module")
def node():
    """One that is off."""
    check_nodes_possible()
    lab = Path(tempfile.mkdtemp(prefix="vmf-"))
    lab.chmod(0o755)
    (lab / "run").mkdir()
    (node,) = new_nodes(lab, ["node-a"], kind=Handed)
    yield node
    node.stop()
    remove_networks(lab)
    shutil.rmtree(lab)
    assert left_of(lab) == []


@pytest.fixture
def handed(node):
    """Starts the daemon with a socket of a mode, and this in its libvirtd.conf."""

    def start(mode, group=0, authentication="none"):
        node.kill_daemon() if node.is_on else None
        node.mode, node.group, node.authentication = mode, group, authentication
        node.start()
        return node

    return start


@contextmanager
def another(group: int) -> Iterator[None]:
    """Be nobody in a group for a while, and connect as that."""
    os.setegid(group)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def gets_in(node, group):
    with another(group), suppress(libvirt.libvirtError):
        libvirt.open(node.uri).close()
        return True
    return False


def said(node, group):
    with another(group):
        return [str(each) for each in look_at_sockets(node.uri)]


def drop_in():
    """What the page has systemd make of the socket."""
    page = (ROOT / "docs" / "agent.md").read_text()
    (text,) = re.findall(
        r"^# /etc/systemd/system/libvirtd\.socket\.d.*?\n```", page, re.MULTILINE | re.DOTALL
    )
    settings = dict(re.findall(r"^(\w+)=(\w+)$", text, re.MULTILINE))
    assert settings.pop("SocketGroup") == "libvirt"
    return int(settings.pop("SocketMode"), 8)


def test_the_daemon_s_own_settings_close_no_socket_that_it_is_handed(handed):
    node = handed(SHIPPED)
    assert 'unix_sock_rw_perms = "0770"' in (node.directory / "etc" / "libvirtd.conf").read_text()
    assert gets_in(node, NOBODY)
    (error,) = said(node, NOBODY)
    assert error.startswith(
        f"every user of this host may connect to {node.socket}, and the daemon asks nobody"
    )


def test_the_page_s_drop_in_closes_it_to_all_but_the_group(handed):
    node = handed(drop_in(), GROUP_ID)
    assert gets_in(node, GROUP_ID)
    assert said(node, GROUP_ID) == []
    assert not gets_in(node, NOBODY)


def test_a_socket_that_is_open_to_all_is_well_where_the_daemon_asks_polkit(handed):
    node = handed(SHIPPED, authentication="polkit")
    assert not gets_in(node, NOBODY)
    assert said(node, NOBODY) == []
