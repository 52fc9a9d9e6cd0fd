"""What is found out about a VM on its source before it leaves, while its start waits for other things."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from vmferry_agent.hypervisor.port import Domain, Hypervisor, HypervisorError
from vmferry_api.migrations import Hardware, VMState

_logger = logging.getLogger(__name__)

PERIOD = timedelta(seconds=1)
"""So long the guest's pages are watched; libvirt takes whole seconds."""
_LONGEST = 3.0
"""Seconds for the measurement as a whole."""
_BETWEEN_LOOKS = 0.2


class VMFacts:
    """What a VM needs of its target, and how fast it writes. No start waits for it, and no error is one.

    Args:
        hypervisor: This host.
        measures: Whether to measure how fast the guest writes.
        found: Told when that is known.
    """

    def __init__(self, hypervisor: Hypervisor, *, measures: bool, found: Callable[[], None]) -> None:
        self._hypervisor = hypervisor
        self._measures = measures
        self._found = found
        self._domain: Domain | None = None
        self._measuring: asyncio.Task[None] | None = None
        self.hardware: Hardware | None = None
        """What it needs; None: not known."""
        self.dirty_rate: int | None = None
        """In bytes per second; None: not known, or not yet."""

    async def look(self, domain: Domain, *, free: bool) -> None:
        """Read what it needs if it is not the domain that it was, and have the measurement begin.

        What could not be read is not tried again: it may have taken as long as a call may take.

        Args:
            domain: The VM.
            free: Whether no migration of this process has it: a measurement would wait for its end.
        """
        if domain != self._domain:
            self._domain = domain
            try:
                self.hardware = await self._hypervisor.hardware(domain.uuid)
            except HypervisorError as error:
                _logger.info("%s: can't tell what it needs: %s", domain.name, error)
        if self._measures and free and self._measuring is None and domain.state == VMState.RUNNING:
            self._measuring = asyncio.create_task(self._measure(domain), name=f"dirty rate of {domain.name}")

    def stop(self) -> None:
        """Ask nothing more: the VM leaves."""
        self._measures = False
        if self._measuring is not None:
            self._measuring.cancel()

    async def _measure(self, domain: Domain) -> None:
        try:
            async with asyncio.timeout(_LONGEST):
                if (await self._hypervisor.look(domain)).busy:
                    return
                await self._hypervisor.measure_dirty_rate(domain.uuid, PERIOD)
                await asyncio.sleep(PERIOD.total_seconds())
                self.dirty_rate = await self._measured(domain)
        except (HypervisorError, TimeoutError) as error:
            _logger.info(
                "%s: its dirty rate can't be measured: %s", domain.name, error or "it takes too long"
            )
        else:
            self._found()

    async def _measured(self, domain: Domain) -> int:
        while True:
            rate = await self._hypervisor.dirty_rate(domain.uuid)
            if rate is not None:
                return rate
            await asyncio.sleep(_BETWEEN_LOOKS)
