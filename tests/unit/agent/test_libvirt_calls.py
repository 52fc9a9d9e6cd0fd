"""What becomes of calls that libvirt, or its binding, does not take as meant."""

import threading

import libvirt
import pytest

from vmferry_agent.hypervisor import libvirt_connection
from vmferry_agent.hypervisor.libvirt_connection import LibvirtConnection
from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor, _translated
from vmferry_agent.hypervisor.port import (
    HypervisorError,
    HypervisorUnreachable,
    MigrationAborted,
    MigrationRunsAlready,
)

ITSELF = "test:///default"
"""libvirt's own test driver, in this process."""


@pytest.fixture(autouse=True)
def without_keepalive(monkeypatch):
    """That driver has none."""
    monkeypatch.setattr(libvirt.virConnect, "setKeepAlive", lambda *_: 0)


async def test_a_name_that_the_binding_can_t_pass_on_is_refused_like_any_other():
    with pytest.raises(HypervisorError, match="embedded null"):
        await LibvirtHypervisor(ITSELF).find("g1\0x")


def libvirt_error(code: int, domain: int, message: str) -> libvirt.libvirtError:
    error = libvirt.libvirtError("")
    error.err = (code, domain, message, 2, None, None, None, -1, -1)
    return error


@pytest.mark.parametrize(
    ("code", "domain", "message", "kind"),
    [
        (78, 10, "operation aborted: job 'migration out' canceled by client", MigrationAborted),
        (55, 10, "another migration job is already running for domain 'cd'", MigrationRunsAlready),
        (55, 20, "domain is not running", HypervisorError),
        (1, 7, "client socket is closed", HypervisorUnreachable),
        (1, 10, "unable to execute QEMU command", HypervisorError),
        (81, 10, "Unsafe migration: Migration without shared storage is unsafe", HypervisorError),
    ],
)
def test_an_error_is_told_by_what_it_means(code, domain, message, kind):
    assert type(_translated(libvirt_error(code, domain, message))) is kind


@pytest.fixture
def greeting(monkeypatch):
    """What a daemon that hangs keeps to itself until it goes on."""
    asked, greets, opening = threading.Event(), threading.Event(), libvirt.open

    def open_when_greeted(uri):
        asked.set()
        greets.wait(10)
        return opening(uri)

    monkeypatch.setattr(libvirt_connection.libvirt, "open", open_when_greeted)
    yield asked, greets
    greets.set()


def test_one_thread_waits_for_a_daemon_that_hangs_and_the_others_give_up(greeting, monkeypatch):
    asked, greets = greeting
    monkeypatch.setattr(libvirt_connection, "_OPENING", 0.01)
    connection = LibvirtConnection(ITSELF, job_completed=lambda *_: None)
    first = threading.Thread(target=connection.get)
    first.start()
    assert asked.wait(10)
    with pytest.raises(TimeoutError):
        connection.get()
    greets.set()
    first.join(10)
    assert connection.get().isAlive()
    connection.close()


def test_disks_that_libvirt_does_not_take_for_shared_are_told_with_the_ways_out():
    said = str(_translated(libvirt_error(81, 10, "Migration without shared storage is unsafe")))
    assert said.startswith("Migration without shared storage is unsafe (libvirt error 81); ")
    for way_out in ("shared_filesystems", "cache='none'", "spec.storage"):
        assert way_out in said
