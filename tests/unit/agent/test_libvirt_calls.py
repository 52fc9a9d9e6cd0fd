"""What becomes of calls that libvirt, or its binding, does not take as meant."""

import threading

import libvirt
import pytest

from vmferry_agent.hypervisor import calls, libvirt_connection, libvirt_hypervisor
from vmferry_agent.hypervisor.libvirt_connection import LibvirtConnection
from vmferry_agent.hypervisor.libvirt_errors import translated, translated_resumption
from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from vmferry_agent.hypervisor.libvirt_jobs import outgoing, sampled
from vmferry_agent.hypervisor.port import (
    HypervisorError,
    HypervisorUnreachable,
    MigrationAborted,
    MigrationRunsAlready,
    StartRequest,
    StreamHeld,
    TargetHalfLost,
)
from vmferry_api.migrations import VMState
from vmferry_api.policies import StartOptions

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


INVALID = "Requested operation is not valid: "


@pytest.mark.parametrize(
    ("code", "domain", "message", "kind"),
    [
        (78, 10, "operation aborted: job 'migration out' canceled by client", MigrationAborted),
        (55, 10, f"{INVALID}another migration job is already running for domain 'cd'", MigrationRunsAlready),
        (55, 20, f"{INVALID}domain is not running", HypervisorError),
        (1, 7, "internal error: client socket is closed", HypervisorUnreachable),
        (1, 7, "internal error: connection closed due to keepalive timeout", HypervisorUnreachable),
        (38, 7, "End of file while reading data: Input/output error", HypervisorUnreachable),
        (
            38,
            7,
            "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file",
            HypervisorUnreachable,
        ),
        (68, 0, "Timed out during operation: cannot acquire state change lock", HypervisorUnreachable),
        (1, 10, "internal error: unable to execute QEMU command 'migrate-set-parameters'", HypervisorError),
        (1, 10, "internal error: qemu unexpectedly closed the monitor", HypervisorError),
        (1, 47, "internal error: Unable to get system bus connection", HypervisorError),
        (9, 10, "operation failed: job 'migration in' failed in post-copy phase", HypervisorError),
        (9, 20, "operation failed: domain 'zz' already exists with uuid 1", HypervisorError),
        (38, 0, "cannot limit locked memory of process 1: Operation not permitted", HypervisorError),
        (45, 7, "authentication failed: authentication failed", HypervisorError),
    ],
)
def test_an_error_is_told_by_what_it_means(code, domain, message, kind):
    meaning = translated(libvirt_error(code, domain, message))
    assert type(meaning) is kind
    assert str(meaning) == f"{message} (libvirt error {code})"


@pytest.mark.parametrize(
    ("code", "domain", "message", "kind"),
    [
        (55, 10, f"{INVALID}QEMU reports migration is still running", StreamHeld),
        (55, 10, f"{INVALID}migration of domain q is being actively monitored by another thread", StreamHeld),
        (
            55,
            10,
            f"{INVALID}resuming failed post-copy migration of domain q already in progress",
            StreamHeld,
        ),
        (55, 10, f"{INVALID}domain 'q' is not processing incoming migration", TargetHalfLost),
        (42, 10, "Domain not found: no domain with matching name 'q'", TargetHalfLost),
        (55, 10, f"{INVALID}domain 'q' is not being migrated", HypervisorError),
        (38, 7, "unable to connect to server at '10.0.0.2:16509': No route to host", HypervisorUnreachable),
        (74, 10, "argument unsupported: resuming requires post-copy to be enabled", HypervisorError),
    ],
)
def test_what_is_said_of_a_post_copy_to_be_taken_up_again_tells_whether_to_try_once_more(
    code, domain, message, kind
):
    assert type(translated_resumption(libvirt_error(code, domain, message))) is kind


@pytest.mark.parametrize("code", [42, 55, 84])
def test_a_domain_without_a_job_to_tell_of_has_no_outgoing_migration(code):
    class Stopped:
        def jobStats(self):  # noqa: N802 - libvirt's
            raise libvirt_error(code, 10, "no statistics")

    assert outgoing(Stopped()) is None


def test_fields_that_libvirt_does_not_tell_are_unknown_and_counters_begin_at_nothing():
    sample = sampled({"type": 2, "operation": 5})
    assert (sample.memory_pass, sample.remaining, sample.transferred) == (0, 0, 0)
    assert (sample.bandwidth, sample.dirty_rate, sample.expected_downtime) == (None, None, None)
    assert (sample.throttle, sample.post_copy_requests) == (None, 0)


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
    said = str(translated(libvirt_error(81, 10, "Migration without shared storage is unsafe")))
    assert said.startswith("Migration without shared storage is unsafe (libvirt error 81); ")
    for way_out in ("shared_filesystems", "cache='none'", "spec.storage"):
        assert way_out in said


async def test_what_nobody_waits_for_any_more_is_not_done_when_the_daemon_goes_on(greeting, monkeypatch):
    asked, greets = greeting
    monkeypatch.setattr(libvirt_hypervisor, "CALL_DEADLINE", 0.1)
    monkeypatch.setattr(calls, "_MOST_IDLE", 0)  # the thread ends with its call
    (domain,) = libvirt.openReadOnly(ITSELF).listAllDomains()
    with pytest.raises(HypervisorUnreachable, match="did not answer"):
        await LibvirtHypervisor(ITSELF).suspend(domain.UUIDString())
    assert asked.is_set()
    (late,) = (each for each in threading.enumerate() if each.name == "call" and each not in calls._idle)
    greets.set()
    late.join(10)
    assert (await LibvirtHypervisor(ITSELF).find("test")).state == VMState.RUNNING


async def test_a_connection_that_can_t_hear_is_none(monkeypatch):
    connection = LibvirtConnection(ITSELF, job_completed=lambda *_: None)
    registering, registered = libvirt.virConnect.domainEventRegisterAny, []

    def refuse(*_):
        raise libvirt_error(38, 7, "End of file while reading data: Input/output error")

    def register(self, domain, event, *rest):
        registered.append(event)
        return registering(self, domain, event, *rest)

    monkeypatch.setattr(libvirt.virConnect, "domainEventRegisterAny", refuse)
    with pytest.raises(libvirt.libvirtError):
        connection.get()
    monkeypatch.setattr(libvirt.virConnect, "domainEventRegisterAny", register)
    connection.get()
    assert len(registered) == 3
    connection.close()


def test_an_event_loop_that_fails_again_and_again_is_turned_ever_less_often_until_it_turns_again():
    """Else it would take a processor for itself, and fill the log."""
    turns = iter(["fails"] * 10 + ["turns", "fails", "ends"])
    waited = []

    class EndOfTestError(Exception):
        pass

    def turn():
        match next(turns):
            case "fails":
                raise libvirt_error(1, 0, "poll: Bad file descriptor")
            case "ends":
                raise EndOfTestError

    with pytest.raises(EndOfTestError):
        libvirt_connection.turn_event_loop(turn, waited.append)
    failing, anew = waited[:10], waited[10:]
    assert len(anew) == 1
    assert max(failing) <= 2.0
    assert min(failing[6:]) > max(failing[0], anew[0])


REQUEST = StartRequest(
    connect_uri="qemu+unix:///system?socket=/run/libvirt/libvirt-sock",
    migration_uri=None,
    bandwidth=None,
    post_copy_bandwidth=None,
    post_copy=False,
    persistent=False,
    options=StartOptions(),
)


@pytest.mark.parametrize("call", [LibvirtHypervisor.migrate, LibvirtHypervisor.resume_post_copy])
async def test_neither_a_start_nor_a_resumption_goes_to_a_socket_of_the_source_s_own(call):
    (domain,) = libvirt.openReadOnly(ITSELF).listAllDomains()
    with pytest.raises(HypervisorError, match="is a socket of the source's own host"):
        await call(LibvirtHypervisor(ITSELF), domain.UUIDString(), REQUEST)
    with pytest.raises(HypervisorError, match=r"libvirt error"):
        await call(LibvirtHypervisor(ITSELF, same_machine=True), domain.UUIDString(), REQUEST)
