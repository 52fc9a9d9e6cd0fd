"""A migration as the tests of libvirt's calls handle it: started by the port, looked at through it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from vmferry_agent.hypervisor.libvirt_hypervisor import LibvirtHypervisor
from vmferry_agent.hypervisor.port import (
    Domain,
    HypervisorError,
    HypervisorUnreachable,
    Look,
    Sample,
    StartRequest,
    StreamHeld,
)
from vmferry_api.migrations import VMState
from vmferry_api.policies import StartOptions
from vmferry_lab.guests.guest import Guest
from vmferry_lab.hosts.session import SessionHost, guests_of
from vmferry_lab.until import until

MIB = 2**20
PATIENCE = 60.0
"""Seconds; generous, because the machine may be slow."""
_AGAIN = 0.5
"""Seconds."""
LINK = 40 * MIB
"""Bytes per second; the guests of these tests need far more of them than QEMU's 0.3 s."""
SLOW = MIB
"""Bytes per second that keep a post-copy going for longer than any test looks at it."""


def a_request(host: SessionHost, **asked: Any) -> StartRequest:
    """How to start a migration to a host: with post-copy in reach, and slow once it is on."""
    return StartRequest(
        **{
            "connect_uri": host.connect_uri,
            "migration_uri": host.migration_uri,
            "bandwidth": LINK,
            "post_copy_bandwidth": SLOW,
            "post_copy": True,
            "persistent": True,
            "options": StartOptions(),
            **asked,
        }
    )


def kill_qemu(guest: Guest, host: SessionHost) -> None:
    """Kill a guest's QEMU on a host, if it has one there."""
    if process := qemu_of(guest, host):
        process.kill()


def qemu_of(guest: Guest, host: SessionHost) -> psutil.Process | None:
    """A guest's QEMU on a host; None: it has none there."""
    return next(
        (
            process
            for process in guests_of(host.lab / "hosts" / host.name)
            if f"guest={guest.name}," in " ".join(process.info["cmdline"])
        ),
        None,
    )


async def eventually(what: str, look: Callable[[], Any], holds: Callable[[Any], object]) -> Any:
    """The first answer of an asynchronous call of which something holds."""
    loop = asyncio.get_running_loop()

    def probe() -> tuple[Any] | None:
        answer = asyncio.run_coroutine_threadsafe(look(), loop).result(PATIENCE)
        return (answer,) if holds(answer) else None

    (found,) = await asyncio.to_thread(until, what, probe, timeout=PATIENCE)
    return found


async def is_missed(call: Callable[[], Awaitable[object]]) -> None:
    """Wait until a call fails because its daemon is gone.

    What libvirt's own thread has not seen yet when the call begins fails with what it reads of the end instead.
    """

    async def answer() -> str:
        try:
            await call()
        except HypervisorUnreachable as error:
            return str(error)
        raise AssertionError("the daemon is there")

    gone = re.compile(r"Failed to connect socket .* \(libvirt error 38\)")
    await eventually("the daemon to be missed", answer, gone.search)


class CalledMigration:
    """A migration from one host to another, started by the source's port."""

    def __init__(
        self, guest: Guest, source: LibvirtHypervisor, target: LibvirtHypervisor, request: StartRequest
    ) -> None:
        self.guest = guest
        self.uuid = guest.uuid
        self.source = source
        self.target = target
        self.request = request

    async def starts(self) -> None:
        """Start it."""
        found = await self.source.find(self.uuid)
        assert found is not None
        self.domain: Domain = found
        self.call = asyncio.create_task(self.source.migrate(self.uuid, self.request))

    async def look(self) -> Look:
        """A look at it on its source."""
        return await self.source.look(self.domain)

    async def comes_to(self, what: str, holds: Callable[[Sample], object]) -> Sample:
        """Wait for a sample of which something holds."""
        look = await self.looks(what, lambda look: look.sample is not None and holds(look.sample))
        return look.sample

    async def looks(self, what: str, holds: Callable[[Look], object]) -> Look:
        """Wait for a look of which something holds; an end of the migration is one, too."""
        return await eventually(f"{self.guest.name}: {what}", self.look, holds)

    async def goes_into(self, reason: str) -> None:
        """Wait until the source's domain is in a state for this reason."""
        await self.looks(reason, lambda look: look.domain is not None and look.domain.reason == reason)

    async def switches(self) -> None:
        """Switch it to post-copy, and wait until the guest runs on the target.

        A daemon of the target that dies earlier kills it when it is back.
        """
        await self.source.start_post_copy(self.uuid)
        await self.goes_into("PostCopy")
        await self.is_there("PostCopy")

    async def is_taken_up_again(self) -> None:
        """Take up its interrupted post-copy, and wait for its end.

        As the agent, it asks again where libvirt says that the stream goes on: the target's libvirt calls it
        failed as soon as the source's tells so, and its QEMU may need a moment more.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await self.source.resume_post_copy(self.uuid, self.request)
                except StreamHeld:
                    await asyncio.sleep(_AGAIN)

    async def is_there(self, reason: str) -> None:
        """Wait until the target runs it for this reason."""
        await eventually(
            f"{self.guest.name} to run on the target: {reason}",
            lambda: self.target.find(self.uuid),
            lambda domain: domain is not None and (domain.state, domain.reason) == (VMState.RUNNING, reason),
        )

    async def fails(self) -> HypervisorError:
        """What its call fails with."""
        async with asyncio.timeout(PATIENCE):
            try:
                await self.call
            except HypervisorError as error:
                return error
        raise AssertionError(f"{self.guest.name} has migrated")

    async def ends(self) -> None:
        """Wait until its call returns without an error."""
        async with asyncio.timeout(PATIENCE):
            await self.call

    async def aborts(self) -> None:
        """Abort it, and wait until its call has told so."""
        await self.source.abort(self.uuid)
        await self.fails()

    async def leaves_the_target(self) -> None:
        """Wait until the target knows nothing of it."""
        await eventually(
            f"{self.guest.name}: the target's half to be gone",
            lambda: self.target.find(self.uuid),
            lambda half: half is None,
        )

    async def arrives(self) -> None:
        """See that the guest runs on on the target, with all its memory."""
        await self.is_there("Migrated")
        ticks = self.guest.verdict().ticks
        await asyncio.to_thread(
            until, "the guest to go on", lambda: self.guest.verdict().ticks > ticks, timeout=PATIENCE
        )
        assert self.guest.verdict().intact, self.guest.verdict()
