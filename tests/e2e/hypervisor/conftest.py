"""Two hosts without a control plane, and the agent's own hypervisor port to each of them."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from called_migration import MIB, CalledMigration, a_request, kill_qemu
from hopeless import HOPELESS_GUEST

from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from vmferry_agent.hypervisor.port import HypervisorError
from vmferry_lab import processes
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import GuestSpec
from vmferry_lab.hosts.session import SessionHost
from vmferry_lab.hosts.strays import strays

_numbers = count(1)


def small(name: str, **rate: int) -> GuestSpec:
    """A guest that boots fast and outruns its link all the same."""
    return GuestSpec(
        name=name, memory=64 * MIB, working_set=24 * MIB, cold=8 * MIB, **{**HOPELESS_GUEST, **rate}
    )


@pytest.fixture(scope="session")
def hosts() -> Iterator[list[SessionHost]]:
    """The hosts; both are up for each test, whatever the one before has done to them."""
    directory = Path(tempfile.mkdtemp(prefix="vmf-"))
    try:
        directory.chmod(0o711)
        several = [SessionHost(name, directory) for name in ("node-a", "node-b")]
        with ThreadPoolExecutor() as pool:
            list(pool.map(SessionHost.start, several))
        yield several
    finally:
        processes.kill_all(f"processes of {directory}", lambda: strays(directory))
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def source(hosts: list[SessionHost]) -> LibvirtHypervisor:
    """The host that guests leave."""
    return LibvirtHypervisor(hosts[0].uri, same_machine=True)


@pytest.fixture(scope="session")
def target(hosts: list[SessionHost]) -> LibvirtHypervisor:
    """The host that guests go to."""
    return LibvirtHypervisor(hosts[1].uri)


@pytest.fixture
def start_guest(hosts: list[SessionHost]) -> Iterator[Callable[..., Guest]]:
    """Starts a guest on the source, one that outruns its link; after the test it does not run any more."""
    started: list[Guest] = []

    def start(*, persistent: bool = True) -> Guest:
        guest = Guest(f"vm-{next(_numbers)}", hosts[0].lab)
        started.append(guest)
        guest.start(hosts[0], small(guest.name), persistent=persistent)
        return guest

    yield start
    for host in hosts:
        host.start()
    for guest in started:  # nobody waits for libvirt to notice; the hosts go down with what is left of it
        for host in hosts:
            kill_qemu(guest, host)
        guest.remove_files()


@pytest.fixture(scope="session")
def guest_that_stays(hosts: list[SessionHost]) -> Guest:
    """One on the source for all tests that need none of their own."""
    guest = Guest("vm-that-stays", hosts[0].lab)
    guest.start(hosts[0], small(guest.name, dirty_rate=0))  # what the others need of the processor is theirs
    return guest


@pytest.fixture
async def guest(source: LibvirtHypervisor, guest_that_stays: Guest) -> AsyncIterator[Guest]:
    """One on the source that runs, and runs on after the test, whatever it came to."""
    yield guest_that_stays
    with suppress(HypervisorError):  # it runs already
        await source.resume(guest_that_stays.uuid)


@pytest.fixture
def migrate(
    hosts: list[SessionHost],
    source: LibvirtHypervisor,
    target: LibvirtHypervisor,
    start_guest: Callable[..., Guest],
) -> Callable[..., Any]:
    """Starts the migration of a guest, and comes back in its second pass."""

    async def begin(guest: Guest | None = None, *, begins: bool = True, **asked: Any) -> CalledMigration:
        migration = CalledMigration(guest or start_guest(), source, target, a_request(hosts[1], **asked))
        await migration.starts()
        if begins:
            await migration.comes_to("pass 2", lambda sample: sample.memory_pass >= 2)
        return migration

    return begin
