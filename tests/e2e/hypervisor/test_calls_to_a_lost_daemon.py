"""News of migrations, and daemons that hang, die and come back."""

import asyncio
from contextlib import contextmanager
from functools import partial

import pytest
from called_migration import PATIENCE, eventually, is_missed, qemu_of

from vmferry_agent.hypervisor import libvirt_connection, libvirt_hypervisor
from vmferry_agent.hypervisor.libvirt_hypervisor import CALL_DEADLINE, LibvirtHypervisor
from vmferry_agent.hypervisor.port import HypervisorUnreachable, News
from vmferry_api.migrations import VMState
from vmferry_lab import processes
from vmferry_lab.until import until

MOST_REQUESTS = 5
"""What a daemon serves at a time of one connection (`max_client_requests`)."""


@contextmanager
def suspended(processes):
    """Stops processes, and lets them go on."""
    stopped = list(processes)
    try:
        for each in stopped:
            each.suspend()
        yield
    finally:
        for each in stopped:
            each.resume()


class Ear:
    """Remembers what it is told."""

    def __init__(self):
        self.heard = []

    def __call__(self, news):
        self.heard.append(news)

    async def hears(self, news):
        await asyncio.to_thread(until, str(news), lambda: news in self.heard, timeout=PATIENCE)


async def test_news_of_passes_and_states_are_told_as_long_as_somebody_listens(hosts, source, migrate):
    migration = await migrate()
    ear, deaf = Ear(), Ear()
    with source.listen(migration.uuid, deaf):
        pass
    with source.listen(migration.uuid, ear):
        await ear.hears(News.PASS)
        assert News.STATE not in ear.heard
        await source.suspend(migration.uuid)
        await ear.hears(News.STATE)
        await migration.ends()
    so_far = list(ear.heard)
    await migration.arrives()
    assert deaf.heard == []
    assert ear.heard == so_far


async def test_news_are_heard_again_by_who_listens_when_the_daemon_is_back(hosts, source, start_guest):
    guest = start_guest()
    domain = await source.find(guest.uuid)
    ear = Ear()
    with source.listen(guest.uuid, ear):
        await source.look(domain)
        hosts[0].kill_daemon()
        await is_missed(partial(source.look, domain))
        hosts[0].start()
        assert (await source.look(domain)).domain.state == VMState.RUNNING
        await source.suspend(guest.uuid)
        await ear.hears(News.STATE)


@pytest.fixture
def frozen(hosts):
    """Stops and continues the source's daemon as a whole."""
    (daemon,) = processes.of_component(hosts[0].lab, f"libvirtd-{hosts[0].name}")
    yield daemon
    daemon.resume()


async def test_a_daemon_that_hangs_is_noticed_by_the_keepalive_and_serves_again_when_it_goes_on(
    hosts, frozen, guest, monkeypatch
):
    monkeypatch.setattr(libvirt_connection, "_KEEPALIVE", (1, 2))
    hypervisor = LibvirtHypervisor(hosts[0].uri)
    domain = await hypervisor.find(guest.uuid)
    with hypervisor.listen(guest.uuid, Ear()):
        await hypervisor.look(domain)
        frozen.suspend()
        async with asyncio.timeout(CALL_DEADLINE):
            with pytest.raises(HypervisorUnreachable, match=r"keepalive timeout \(libvirt error 1\)"):
                await hypervisor.look(domain)
        frozen.resume()
        assert (await hypervisor.look(domain)).domain == domain


async def test_qemus_that_hang_hold_up_nobody_else_and_are_not_asked_again_meanwhile(
    hosts, source, start_guest, guest, monkeypatch
):
    hanging = [start_guest() for _ in range(MOST_REQUESTS + 1)]
    monkeypatch.setattr(libvirt_hypervisor, "CALL_DEADLINE", 3.0)
    with suspended(qemu_of(each, hosts[0]) for each in hanging):
        for answer in ("did not answer within", "has not answered an earlier call yet"):
            refusals = await asyncio.gather(
                *(source.suspend(each.uuid) for each in hanging), return_exceptions=True
            )
            assert {type(each) for each in refusals} == {HypervisorUnreachable}
            assert all(answer in str(each) for each in refusals)
        await source.suspend(guest.uuid)
        await source.resume(guest.uuid)
    await eventually(
        "a guest to be suspended",
        partial(source.find, hanging[0].uuid),
        lambda it: it.state == VMState.PAUSED,
    )

    async def resumes():
        try:
            await source.resume(hanging[0].uuid)
        except HypervisorUnreachable:  # libvirt tells the state before it has answered the call
            return False
        return True

    await eventually("its call to have ended", resumes, bool)


async def test_a_source_s_daemon_that_dies_in_pre_copy_takes_the_migration_along_and_no_more(hosts, migrate):
    migration = await migrate()
    hosts[0].kill_daemon()
    error = await migration.fails()
    assert isinstance(error, HypervisorUnreachable)
    assert str(error).endswith("End of file while reading data: Input/output error (libvirt error 38)")
    hosts[0].start()
    # it answers before it has found all guests again
    await migration.looks(
        "to run on with no migration",
        lambda look: (
            look.domain and (look.domain.state, look.sample, look.busy) == (VMState.RUNNING, None, False)
        ),
    )


async def test_a_target_s_daemon_that_dies_in_pre_copy_takes_the_migration_along_and_no_more(hosts, migrate):
    migration = await migrate()
    hosts[1].kill_daemon()
    error = await migration.fails()
    assert isinstance(error, HypervisorUnreachable)
    assert str(error).endswith("client socket is closed (libvirt error 1)")
    look = await migration.look()
    assert (look.domain.state, look.sample, look.busy) == (VMState.RUNNING, None, False)
    hosts[1].start()
    await migration.leaves_the_target()
