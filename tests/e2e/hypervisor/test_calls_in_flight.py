"""What can be set while a migration runs, and what is seen of it."""

from datetime import timedelta

import pytest
from called_migration import LINK, MIB

from vmferry_agent.hypervisor import libvirt_hypervisor
from vmferry_agent.hypervisor.port import HypervisorError
from vmferry_api.migrations import VMState

ENOUGH = timedelta(seconds=10)
"""QEMU takes as long as it likes to stop these guests."""


async def test_a_longer_stop_lets_qemu_switch_over_at_once_and_the_figures_are_told_once(
    migrate, monkeypatch
):
    migration = await migrate()
    await migration.source.set_max_downtime(migration.uuid, ENOUGH)
    await migration.ends()
    await migration.arrives()
    look = await migration.look()
    assert (look.domain, look.sample, look.busy) == (None, None, False)
    figures = await migration.source.completed(migration.uuid)
    assert figures.downtime > timedelta(0)
    assert figures.elapsed > figures.downtime
    assert figures.transferred > 24 * MIB
    monkeypatch.setattr(libvirt_hypervisor, "_EVENT_DEADLINE", 0.1)
    assert await migration.source.completed(migration.uuid) is None


async def test_a_longer_stop_that_is_set_before_the_start_holds_for_it(hosts, source, migrate, start_guest):
    guest = start_guest()
    await source.set_max_downtime(guest.uuid, ENOUGH)
    migration = await migrate(guest, begins=False)
    await migration.ends()
    await migration.arrives()
    assert (await source.completed(guest.uuid)).transferred < 56 * MIB


@pytest.mark.parametrize("downtime", [timedelta(seconds=-1), timedelta(seconds=2001)])
async def test_a_downtime_out_of_range_is_refused_in_qemu_s_words(source, guest, downtime):
    message = r"'downtime_limit' expects an integer in the range of 0 to .* \(libvirt error 1\)"
    with pytest.raises(HypervisorError, match=message):
        await source.set_max_downtime(guest.uuid, downtime)


async def test_the_bandwidth_changes_in_flight_both_ways_and_without_a_cap_the_guest_is_gone(migrate):
    migration = await migrate()
    source, uuid = migration.source, migration.uuid
    await migration.comes_to("the link's rate", lambda sample: sample.bandwidth > 0.9 * LINK)
    await source.set_bandwidth(uuid, LINK // 4)
    await migration.comes_to("a quarter of it", lambda sample: sample.bandwidth < 0.3 * LINK)
    await source.set_bandwidth(uuid, LINK)
    await migration.comes_to("the link's rate again", lambda sample: sample.bandwidth > 0.9 * LINK)
    with pytest.raises(HypervisorError, match=r"bandwidth must be less than .* \(libvirt error 82\)"):
        await source.set_bandwidth(uuid, 2**63)
    await source.set_bandwidth(uuid, None)
    await migration.ends()
    await migration.arrives()


async def test_a_sample_of_pre_copy_has_all_figures_that_steer_it(migrate):
    migration = await migrate()
    limit = timedelta(seconds=0.3)  # what is told for the expected downtime before QEMU has measured
    sample = await migration.comes_to("what it needs", lambda sample: sample.expected_downtime > limit)
    assert sample.memory_pass >= 2
    assert sample.elapsed > timedelta(0)
    assert 0 < sample.remaining < sample.total
    assert sample.transferred > sample.total - sample.zero_pages * 4096 > 0
    assert sample.dirty_rate > 0
    assert sample.throttle is None
    assert sample.normal_pages > 0
    assert sample.post_copy_requests == 0
    await migration.aborts()


async def test_a_guest_that_is_paused_in_pre_copy_runs_again_on_the_target(migrate):
    migration = await migrate()
    await migration.source.suspend(migration.uuid)
    await migration.ends()
    await migration.arrives()


async def test_what_concerns_post_copy_alone_is_refused_without_it_and_the_migration_goes_on(migrate):
    migration = await migrate(post_copy=False)
    source, uuid = migration.source, migration.uuid
    with pytest.raises(HypervisorError, match=r"started with VIR_MIGRATE_POSTCOPY flag \(libvirt error 55\)"):
        await source.start_post_copy(uuid)
    with pytest.raises(
        HypervisorError, match=r"not outgoing migration in post-copy mode \(libvirt error 55\)"
    ):
        await source.break_post_copy(uuid)
    await source.set_post_copy_bandwidth(uuid, MIB)
    with pytest.raises(HypervisorError, match=r"is Running \(Booted\), not what a migration has left"):
        await source.undefine(uuid)
    assert (await migration.look()).sample is not None
    await migration.aborts()


async def test_post_copy_can_t_begin_without_a_migration(source, guest):
    with pytest.raises(HypervisorError, match=r"only be started while outgoing .* \(libvirt error 55\)"):
        await source.start_post_copy(guest.uuid)
    with pytest.raises(
        HypervisorError, match=r"not outgoing migration in post-copy mode \(libvirt error 55\)"
    ):
        await source.break_post_copy(guest.uuid)


async def test_the_target_s_half_is_no_outgoing_migration(migrate):
    migration = await migrate()
    half = await migration.target.find(migration.uuid)
    assert (half.state, half.reason) == (VMState.PAUSED, "Migration")
    look = await migration.target.look(half)
    assert (look.sample, look.busy) == (None, False)
    await migration.aborts()
    await migration.leaves_the_target()
