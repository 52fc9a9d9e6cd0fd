"""Whether libvirt answers, for the readiness probe."""

import asyncio
import time

from vmferry_agent.hypervisor.port import Hypervisor, HypervisorError

LATELY = 10.0
"""Seconds for which an answer of libvirt's holds."""
_PATIENCE = 2.0
"""Seconds that a probe waits for libvirt; who probes waits no longer as a rule."""


class Reachability:
    """Whether libvirt answers. Asked when a probe asks, by one call at a time however many there are.

    Args:
        hypervisor: This host.
        lately: Seconds for which an answer holds.
        patience: Seconds to wait for one.
    """

    def __init__(
        self, hypervisor: Hypervisor, *, lately: float = LATELY, patience: float = _PATIENCE
    ) -> None:
        self._hypervisor = hypervisor
        self._lately = lately
        self._patience = patience
        self._asking: asyncio.Task[None] | None = None
        self._answered_at = float("-inf")
        self._trouble = "libvirt has not answered yet"

    async def trouble(self) -> str | None:
        """What is wrong; None: it has answered lately."""
        if time.monotonic() - self._answered_at < self._lately:
            return None
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask(), name="ask libvirt")
        _, waiting = await asyncio.wait({self._asking}, timeout=self._patience)
        if waiting:
            return f"libvirt has not answered for {self._patience:g} s; before: {self._trouble}"
        return None if time.monotonic() - self._answered_at < self._lately else self._trouble

    async def _ask(self) -> None:
        try:
            await self._hypervisor.facts()
        except HypervisorError as error:
            self._trouble = str(error)
        else:
            self._answered_at = time.monotonic()
            self._trouble = "it did"
