"""Migrations that libvirt does not start, or that end before they have moved anything."""

import libvirt
import pytest
from called_migration import a_request, kill_qemu

from vmferry_agent.hypervisor import libvirt_hypervisor
from vmferry_agent.hypervisor.port import (
    HypervisorError,
    HypervisorUnreachable,
    MigrationAborted,
    MigrationRunsAlready,
)
from vmferry_api.migrations import VMState
from vmferry_api.policies import Encryption, StartOptions
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import GuestSpec

REFUSED = {
    "target's libvirtd does not listen": (
        {"connect_uri": "qemu+unix:///session?socket=/no/such/socket"},
        HypervisorUnreachable,
        r"Failed to connect socket to '/no/such/socket': No such file or directory \(libvirt error 38\)",
    ),
    "target can't be reached": (
        {"connect_uri": "qemu+tcp://127.0.0.1:1/session"},
        HypervisorUnreachable,
        r"unable to connect to server at '127.0.0.1:1': Connection refused \(libvirt error 38\)",
    ),
    "target is no libvirt": (
        {"connect_uri": "nix://"},
        HypervisorError,
        r"nix:// is no address of a QEMU host's daemon",
    ),
    "target is a program of this host": (
        {"connect_uri": "qemu+ssh://b/system?command=/bin/true"},
        HypervisorError,
        r"has the parameter command, and may have keyfile, ",
    ),
    "port that QEMU may not take": (
        {"migration_uri": "tcp://127.0.0.1:1"},
        HypervisorError,
        r"'migrate-incoming': Failed to bind socket: Permission denied \(libvirt error 1\)",
    ),
    "migration URI that is none": (
        {"migration_uri": "127.0.0.1"},
        HypervisorError,
        r"127.0.0.1 is no address that a QEMU listens at",
    ),
    "no certificates": (
        {"options": StartOptions(encryption=Encryption.REQUIRED)},
        HypervisorError,
        r"'object-add': Unable to access credentials .*No such file or directory \(libvirt error 1\)",
    ),
}


async def runs_on(hypervisor, guest):
    """Whether it runs here as if nothing had been."""
    look = await hypervisor.look(await hypervisor.find(guest.uuid))
    return (look.domain.state, look.sample, look.busy) == (VMState.RUNNING, None, False)


@pytest.mark.parametrize(("asked", "kind", "message"), REFUSED.values(), ids=REFUSED)
async def test_a_start_that_is_refused_leaves_the_guest_as_it_was(
    hosts, source, guest, *, asked, kind, message
):
    with pytest.raises(HypervisorError, match=message) as refusal:
        await source.migrate(guest.uuid, a_request(hosts[1], **asked))
    assert refusal.type is kind
    assert await runs_on(source, guest)


async def test_a_guest_can_t_migrate_to_where_it_is(hosts, source, guest):
    with pytest.raises(HypervisorError, match=r"to the same host [0-9a-f-]+ \(libvirt error 1\)"):
        await source.migrate(guest.uuid, a_request(hosts[0]))
    assert await runs_on(source, guest)


async def test_a_guest_that_is_not_there_can_t_migrate(hosts, source):
    nobody = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(HypervisorError, match=r"Domain not found: .* \(libvirt error 42\)"):
        await source.migrate(nobody, a_request(hosts[1]))


async def test_a_guest_that_does_not_run_can_t_migrate(hosts, source, start_guest):
    guest = start_guest()
    connection = libvirt.open(hosts[0].uri)
    connection.lookupByUUIDString(guest.uuid).destroy()
    connection.close()
    with pytest.raises(HypervisorError, match=r"domain is not running \(libvirt error 55\)"):
        await source.migrate(guest.uuid, a_request(hosts[1]))


async def test_another_domain_s_name_is_taken_on_the_target(hosts, source, guest):
    connection = libvirt.open(hosts[1].uri)
    other = connection.defineXML(
        f"<domain type='qemu'><name>{guest.name}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    )
    try:
        taken = rf"domain '{guest.name}' already exists with uuid {other.UUIDString()} \(libvirt error 9\)"
        with pytest.raises(HypervisorError, match=taken):
            await source.migrate(guest.uuid, a_request(hosts[1]))
    finally:
        other.undefine()
        connection.close()
    assert await runs_on(source, guest)


async def test_a_disk_that_the_target_can_t_read_is_told_in_qemu_s_words(hosts, source, start_guest):
    guest = start_guest()
    guest._image.chmod(0)
    with pytest.raises(HypervisorError, match=r"(?s)Could not open .*Permission denied.*\(libvirt error 1\)"):
        await source.migrate(guest.uuid, a_request(hosts[1]))
    assert await runs_on(source, guest)


class GuestThatWrites(Guest):
    """One whose disk libvirt deems unsafe to migrate: it sees an ordinary file system, shared or not."""

    def _xml(self, spec, disk):
        return super()._xml(spec, disk).replace("<readonly/>", "")


async def test_a_disk_on_a_file_system_that_libvirt_does_not_know_to_be_shared_is_unsafe(hosts, source):
    guest = GuestThatWrites("vm-that-writes", hosts[0].lab)
    try:
        guest.start(hosts[0], GuestSpec(name=guest.name, working_set=2**20, cold=0))
        with pytest.raises(HypervisorError, match=r"without shared storage is unsafe \(libvirt error 81\)"):
            await source.migrate(guest.uuid, a_request(hosts[1]))
        assert await runs_on(source, guest)
    finally:
        guest.destroy(hosts)


async def test_a_second_migration_of_a_guest_is_another_s_and_the_first_one_is_aborted_as_asked(
    migrate, monkeypatch
):
    migration = await migrate()
    with pytest.raises(MigrationRunsAlready, match=r"another migration job .* \(libvirt error 55\)"):
        await migration.source.migrate(migration.uuid, migration.request)
    await migration.source.abort(migration.uuid)
    error = await migration.fails()
    assert isinstance(error, MigrationAborted)
    assert str(error).endswith("canceled by client (libvirt error 78)")
    assert await runs_on(migration.source, migration.guest)
    monkeypatch.setattr(libvirt_hypervisor, "_EVENT_DEADLINE", 0.1)
    assert await migration.source.completed(migration.uuid) is None
    with pytest.raises(HypervisorError, match=r"no job is active on the domain \(libvirt error 55\)"):
        await migration.source.abort(migration.uuid)


async def test_the_loss_of_the_target_s_qemu_before_the_switch_costs_nothing(hosts, migrate):
    migration = await migrate()
    kill_qemu(migration.guest, hosts[1])
    error = await migration.fails()
    assert type(error) is HypervisorError
    assert await runs_on(migration.source, migration.guest)


async def test_the_loss_of_the_source_s_qemu_is_the_loss_of_the_guest(hosts, migrate):
    migration = await migrate()
    kill_qemu(migration.guest, hosts[0])
    error = await migration.fails()
    assert type(error) is HypervisorError
    look = await migration.look()
    assert (look.domain.state, look.domain.reason, look.busy) == (VMState.SHUT_OFF, "Crashed", False)
