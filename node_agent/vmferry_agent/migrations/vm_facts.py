"""What is found out about a VM on its source before it leaves, while its start waits for other things."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.needs import worth_telling
from vmferry_agent.hypervisor.port import Domain, Hypervisor, HypervisorError
from vmferry_api.migrations import Hardware, VMState

_logger = logging.getLogger(__name__)

PERIOD = timedelta(seconds=1)
"""So long the guest's pages are watched; libvirt takes whole seconds."""
READ_AGAIN = 10.0
"""Seconds after which it is read again what the VM needs: somebody may have attached a disk meanwhile."""
ASK_AGAIN = 60.0
"""The same where it could not be read: that may have taken as long as a call may take."""
_LONGEST = 3.0
"""Seconds for the measurement as a whole."""
_BETWEEN_LOOKS = 0.2


class VMFacts:
    """What a VM needs of its target, and how fast it writes. No error is one; a start that is due asks nothing.

    Args:
        hypervisor: This host.
        measures: Whether to measure how fast the guest writes.
        found: Told when that is known.
        clock: The time.
    """

    def __init__(
        self, hypervisor: Hypervisor, *, measures: bool, found: Callable[[], None], clock: Clock
    ) -> None:
        self._hypervisor = hypervisor
        self._measures = measures
        self._found = found
        self._clock = clock
        self._domain: Domain | None = None
        self._read_again_at = 0.0
        self._measuring: asyncio.Task[None] | None = None
        self.hardware: Hardware | None = None
        """What it needs; None: not known."""
        self.dirty_rate: int | None = None
        """In bytes per second; None: not known, or not yet."""

    async def look(self, domain: Domain, *, free: bool) -> None:
        """Read what it needs, at first, when it has changed, and now and then, and have the measurement begin.

        Args:
            domain: The VM.
            free: Whether no migration of this process has it: a measurement would wait for its end.
        """
        now = self._clock.monotonic()
        if domain != self._domain or now >= self._read_again_at:
            self._domain, self._read_again_at = domain, now + READ_AGAIN
            try:
                needs = await self._hypervisor.hardware(domain.uuid)
                self.hardware = worth_telling(self.hardware, needs)
            except HypervisorError as error:
                self._read_again_at = now + ASK_AGAIN
                _logger.info("%s: can't tell what it needs: %s", domain.name, error)
        if self._measures and free and self._measuring is None and domain.state == VMState.RUNNING:
            self._measuring = asyncio.create_task(self._measure(domain), name=f"dirty rate of {domain.name}")

    def stop(self) -> None:
        """Measure nothing more: the VM leaves. If it stays after all, what it needs is read anew."""
        self._measures = False
        self._domain = None
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
