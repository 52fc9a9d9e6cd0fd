"""The call that drives a migration: it blocks until the end, and fails without one when a daemon dies."""

import asyncio
import logging
from collections.abc import Callable, Coroutine

from vmferry_agent.hypervisor.port import (
    HypervisorError,
    HypervisorUnreachable,
    MigrationAborted,
    MigrationRunsAlready,
)

_logger = logging.getLogger(__name__)


class MigrationCall:
    """A call under way, and what it has answered.

    Args:
        call: The call.
        vm: The VM's name, for the log.
        ended: Told when it has returned.
    """

    def __init__(self, call: Coroutine[None, None, None], *, vm: str, ended: Callable[[], None]) -> None:
        self._vm = vm
        self._ended = ended
        self._task = asyncio.create_task(self._run(call), name=f"migrate {vm}")
        self.succeeded = False
        """It has returned without an error: the domain has left."""
        self.error: HypervisorError | None = None
        """What it has failed with."""

    @property
    def runs(self) -> bool:
        """Whether it has not returned yet."""
        return not self._task.done()

    @property
    def refused(self) -> bool:
        """Nothing was started: what runs is another's."""
        return isinstance(self.error, MigrationRunsAlready)

    @property
    def answered(self) -> bool:
        """It has failed by the host's word: the domain stayed. An answer that was lost says nothing."""
        return self.error is not None and not isinstance(self.error, HypervisorUnreachable)

    @property
    def failed_by_itself(self) -> bool:
        """It has failed by the host's word, and not because somebody has aborted it."""
        return self.answered and not isinstance(self.error, MigrationAborted)

    async def _run(self, call: Coroutine[None, None, None]) -> None:
        try:
            await call
        except HypervisorError as error:
            self.error = error
            _logger.info("%s: the migration's call ended: %s", self._vm, error)
        else:
            self.succeeded = True
        finally:
            self._ended()
