"""The parameters of a running attempt: what is in force, and how it is changed."""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta

from vmferry_agent.clock import Clock
from vmferry_agent.decisions.changes import Change, Parameter, Value, changes
from vmferry_agent.hypervisor.port import Domain, Hypervisor, HypervisorError, HypervisorUnreachable
from vmferry_api.migrations import ApplyError, Desired, MigrationTechnique, VMState

_logger = logging.getLogger(__name__)

WasSet = Callable[[Change, Value], None]
"""Told of each change that was carried out, with the value before it (None: not known, or none)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a revision."""

    errors: list[ApplyError]
    """What the host has refused of it."""
    complete: bool
    """Nothing of it was held back."""


class ParametersInForce:
    """Knows and changes the parameters of one attempt.

    Args:
        domain: The VM.
        hypervisor: This host.
        clock: The time.
        known: What is known to be in force.
        was_set: Told of each change.
        suspending: Notes that the guest is about to be paused; tells whether that is on record.
        not_suspended: Takes that note back.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        hypervisor: Hypervisor,
        clock: Clock,
        known: dict[Parameter, Value],
        was_set: WasSet,
        suspending: Callable[[], bool],
        not_suspended: Callable[[], None],
    ) -> None:
        self._domain = domain
        self._hypervisor = hypervisor
        self._clock = clock
        self._values = dict(known)
        self._was_set = was_set
        self._suspending = suspending
        self._not_suspended = not_suspended
        self._revision = 0
        self._refused: dict[Change, ApplyError] = {}
        self._suspend_asked = False
        self.switch_ordered_at: float | None = None
        """When QEMU was told to switch to post-copy, or may have been: the answer can be lost."""

    async def apply(
        self,
        desired: Desired,
        *,
        max_downtime: timedelta | None,
        in_post_copy: bool,
        held: Collection[Parameter] = (),
    ) -> Answer:
        """Set what differs; what the host has refused once is tried again with another revision only.

        Args:
            desired: What is wanted.
            max_downtime: The downtime to grant: the policy's, or the ramp's.
            in_post_copy: Whether post-copy is on.
            held: What must not be set now.

        Raises:
            HypervisorUnreachable: The rest is still to be set.
        """
        if desired.revision != self._revision:
            self._revision = desired.revision
            self._refused.clear()
        if not (desired.suspend or self._suspend_asked or self._values.get(Parameter.SUSPEND) is True):
            self._not_suspended()  # it was wanted, and is no more
        complete = True
        for change in changes(desired, self._values, max_downtime=max_downtime, in_post_copy=in_post_copy):
            if change in self._refused:
                continue
            if change.parameter in held or not await self._may_set(change):
                complete = False
                continue
            await self._try(change)
        return Answer(errors=list(self._refused.values()), complete=complete)

    async def _may_set(self, change: Change) -> bool:
        """Whether nothing must be on record first."""
        if change.parameter != Parameter.SUSPEND or not await self._runs():
            return True
        return self._suspending()

    async def _try(self, change: Change) -> None:
        try:
            await self._set(change)
        except HypervisorUnreachable:
            raise
        except HypervisorError as error:
            self._refused[change] = ApplyError(parameter=change.parameter, message=str(error))
            if change.parameter == Parameter.SUSPEND:
                self._suspend_asked = False
                self._not_suspended()
            _logger.warning("%s: %s refused: %s", self._domain.name, change.parameter, error)
        else:
            _logger.info("%s: %s", self._domain.name, change)
            before = self._values.get(change.parameter)
            self._values[change.parameter] = change.value
            self._was_set(change, before)

    async def _set(self, change: Change) -> None:
        uuid = self._domain.uuid
        match change.parameter, change.value:
            case Parameter.MAX_DOWNTIME, timedelta() as downtime:
                await self._hypervisor.set_max_downtime(uuid, downtime)
            case Parameter.BANDWIDTH, int() | None as cap:
                await self._hypervisor.set_bandwidth(uuid, cap)
            case Parameter.POST_COPY_BANDWIDTH, int() | None as cap:
                await self._hypervisor.set_post_copy_bandwidth(uuid, cap)
            case Parameter.COMPRESSION_CACHE, int() as size:
                await self._hypervisor.set_compression_cache(uuid, size)
            case Parameter.SUSPEND, True:
                await self._suspend()
            case Parameter.TECHNIQUE, MigrationTechnique.POST_COPY:
                try:
                    await self._hypervisor.start_post_copy(uuid)
                finally:
                    self.switch_ordered_at = self._clock.monotonic()

    async def _suspend(self) -> None:
        if await self._runs():
            self._suspend_asked = True  # the answer can be lost, and the guest paused all the same
            await self._hypervisor.suspend(self._domain.uuid)
        elif not self._suspend_asked:  # somebody else has paused it, who alone may let it run again
            self._not_suspended()

    async def _runs(self) -> bool:
        domain = await self._hypervisor.find(self._domain.uuid)
        return domain is not None and domain.state == VMState.RUNNING
