"""The switch to post-copy, its interruptions, and what is left after it."""

import asyncio
from functools import partial

import pytest
from called_migration import MIB, PATIENCE, SLOW, eventually, is_missed, kill_qemu

from vmferry_agent.hypervisor.port import (
    HypervisorError,
    HypervisorUnreachable,
    MigrationRunsAlready,
    StreamHeld,
    TargetHalfLost,
)
from vmferry_api.migrations import VMState


async def left_behind(migration):
    """Wait for what the migration leaves on its source."""
    await migration.goes_into("Migrated")
    left = await migration.source.find(migration.uuid)
    assert left.moved_away
    return left


async def test_in_post_copy_the_guest_runs_on_the_target_under_a_cap_of_its_own_and_nothing_aborts_it(
    migrate,
):
    migration = await migrate()
    source, uuid = migration.source, migration.uuid
    await migration.switches()
    look = await migration.look()
    assert (look.domain.state, look.domain.in_post_copy, look.busy) == (VMState.PAUSED, True, True)
    await source.start_post_copy(uuid)
    await source.suspend(uuid)
    with pytest.raises(HypervisorError, match=r"cannot abort .* post-copy mode \(libvirt error 55\)"):
        await source.abort(uuid)
    await migration.comes_to("its own cap", lambda sample: sample.bandwidth < 2 * SLOW)
    await source.set_post_copy_bandwidth(uuid, 4 * SLOW)
    await migration.comes_to("another cap", lambda sample: sample.bandwidth > 3 * SLOW)
    await source.set_post_copy_bandwidth(uuid, None)
    await migration.ends()
    await migration.arrives()


async def test_an_interrupted_post_copy_is_taken_up_again_with_the_memory_intact(migrate):
    migration = await migrate()
    source, uuid = migration.source, migration.uuid
    await migration.switches()
    await source.break_post_copy(uuid)
    error = await migration.fails()
    assert type(error) is HypervisorError
    assert str(error).endswith("failed in post-copy phase (libvirt error 9)")
    await migration.goes_into("PostCopyFailed")
    await migration.is_there("PostCopyFailed")
    with pytest.raises(HypervisorError, match=r"'migrate-pause': .* \(libvirt error 1\)"):
        await source.break_post_copy(uuid)
    with pytest.raises(HypervisorError, match=r"cannot abort .* post-copy mode \(libvirt error 55\)"):
        await source.abort(uuid)
    with pytest.raises(MigrationRunsAlready):
        await source.migrate(uuid, migration.request)
    resumption = asyncio.create_task(migration.is_taken_up_again())
    await migration.goes_into("PostCopy")
    await migration.is_there("PostCopy")
    await source.set_post_copy_bandwidth(uuid, None)
    await asyncio.wait_for(resumption, PATIENCE)
    await migration.arrives()
    assert await source.find(uuid) is None


async def test_a_post_copy_that_goes_on_is_not_taken_up_again(migrate):
    migration = await migrate()
    await migration.switches()
    with pytest.raises(StreamHeld, match="goes on"):
        await migration.source.resume_post_copy(migration.uuid, migration.request)
    await migration.source.set_post_copy_bandwidth(migration.uuid, None)
    await migration.ends()
    await migration.arrives()


@pytest.mark.parametrize("persistent", [True, False], ids=["defined", "transient"])
async def test_a_post_copy_whose_target_s_qemu_has_died_can_never_be_taken_up_again(
    hosts, migrate, start_guest, persistent
):
    migration = await migrate(start_guest(persistent=persistent), persistent=persistent)
    await migration.switches()
    kill_qemu(migration.guest, hosts[1])
    error = await migration.fails()
    assert str(error) == "operation failed: domain is not running (libvirt error 9)"
    await migration.goes_into("PostCopyFailed")

    async def answer():
        with pytest.raises(HypervisorError) as refusal:
            await migration.source.resume_post_copy(migration.uuid, migration.request)
        return refusal.type

    # of a transient domain, libvirt first repeats what it has said of the end of its QEMU
    await eventually("the loss to be told", answer, lambda kind: kind is TargetHalfLost)


async def test_a_target_s_daemon_that_dies_in_post_copy_stops_nothing_but_the_cleaning_up(hosts, migrate):
    migration = await migrate()
    source, uuid = migration.source, migration.uuid
    await migration.switches()
    hosts[1].kill_daemon()
    error = await migration.fails()
    assert isinstance(error, HypervisorUnreachable)
    assert str(error).endswith("client socket is closed (libvirt error 1)")
    await migration.goes_into("PostCopyFailed")
    before = (await migration.look()).sample.transferred
    await migration.comes_to("more memory", lambda sample: sample.transferred > before)
    with pytest.raises(HypervisorUnreachable, match=r"Failed to connect socket .* \(libvirt error 38\)"):
        await source.resume_post_copy(uuid, migration.request)
    hosts[1].start()
    with pytest.raises(StreamHeld, match=r"QEMU reports migration is still running \(libvirt error 55\)"):
        await source.resume_post_copy(uuid, migration.request)
    await source.set_post_copy_bandwidth(uuid, None)
    await left_behind(migration)
    await migration.arrives()
    assert (await source.completed(uuid)).transferred > 24 * MIB
    with pytest.raises(HypervisorError, match=r"is Running \(Migrated\), not what a migration has left"):
        await migration.target.undefine(uuid)
    await source.undefine(uuid)
    assert await source.find(uuid) is None


async def test_a_source_s_daemon_that_dies_in_post_copy_goes_on_when_it_is_back_and_leaves_a_definition(
    hosts, migrate
):
    migration = await migrate()
    source, uuid = migration.source, migration.uuid
    await migration.switches()
    hosts[0].kill_daemon()
    error = await migration.fails()
    assert isinstance(error, HypervisorUnreachable)
    assert str(error).endswith("End of file while reading data: Input/output error (libvirt error 38)")
    await is_missed(partial(source.find, uuid))
    hosts[0].start()
    assert (await migration.look()).sample is not None
    await source.set_post_copy_bandwidth(uuid, None)
    await left_behind(migration)
    await migration.arrives()
    await source.undefine(uuid)
    assert await source.find(uuid) is None


async def test_a_migration_that_was_to_keep_the_definition_leaves_it_and_no_more(migrate):
    migration = await migrate(persistent=False)
    await migration.switches()
    await migration.source.set_post_copy_bandwidth(migration.uuid, None)
    await migration.ends()
    left = await left_behind(migration)
    assert (left.state, left.persistent) == (VMState.SHUT_OFF, True)
    with pytest.raises(HypervisorError, match=r"is not being migrated \(libvirt error 55\)"):
        await migration.source.resume_post_copy(migration.uuid, migration.request)
    await migration.source.undefine(migration.uuid)
    assert await migration.source.find(migration.uuid) is None
