"""One role of the agent: a task for each migration that concerns its node."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from vmferry_agent.reporting import Reporter
from vmferry_api.migrations import VMMigration

_logger = logging.getLogger(__name__)


class Work(Protocol):
    """What a role does for one migration."""

    def update(self, migration: VMMigration) -> None:
        """Take the object as it is now."""

    def vanish(self) -> None:
        """Take it that the object is gone."""

    async def run(self) -> None:
        """Until the migration is over."""


NewReporter = Callable[[VMMigration], Reporter]
NewWork = Callable[[VMMigration, Reporter], Work]


class Role:
    """Keeps one task for each migration that is not over.

    Args:
        name: The role's, for the log.
        new_reporter: Makes the writer of a migration's status.
        new_work: Makes what is done for a migration.
        concerns: Whether a migration is this node's in this role. The watch selects already; but to act for
            another node would be too bad to rest on one setting.
    """

    def __init__(
        self,
        name: str,
        *,
        new_reporter: NewReporter,
        new_work: NewWork,
        concerns: Callable[[VMMigration], bool],
    ) -> None:
        self._name = name
        self._concerns = concerns
        self._new_reporter = new_reporter
        self._new_work = new_work
        self._works: dict[str, Work] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._versions: dict[str, int] = {}
        self._names: dict[str, tuple[str | None, str]] = {}

    def seen(self, event: str | None, raw: Mapping[str, Any]) -> None:
        """Take an event of the watch, or what a write has returned."""
        try:
            migration = VMMigration.model_validate(raw)
        except ValidationError as error:
            name = raw.get("metadata", {}).get("name")
            _logger.error("%s: VMMigration %s can't be read, and is left alone: %s", self._name, name, error)
            return
        if not self._concerns(migration):
            _logger.error("%s: %s is not this node's", self._name, migration.metadata.name)
            return
        uid = migration.metadata.uid
        self._leave_namesakes(migration)
        version = int(migration.metadata.resource_version or 0)
        if 0 < version <= self._versions.get(uid, 0) and event != "DELETED":
            return  # seen already, by the watch or as the answer to a write
        if uid in self._works:
            self._works[uid].update(migration)
            if event == "DELETED":
                self._works[uid].vanish()
        elif event != "DELETED" and not _over(migration):
            self._begin(uid, migration)
        if uid in self._works:
            self._versions[uid] = version

    def version(self, uid: str) -> str:
        """The newest version seen of a migration that is worked on; empty: none."""
        return str(self._versions.get(uid) or "")

    async def stop(self) -> None:
        """End all tasks; what runs in libvirt goes on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _leave_namesakes(self, migration: VMMigration) -> None:
        """An object with the name of another one: that one is gone, whether or not the watch has told so."""
        seen = migration.metadata
        for uid, name in self._names.items():
            if name == (seen.namespace, seen.name) and uid != seen.uid:
                self._works[uid].vanish()

    def _begin(self, uid: str, migration: VMMigration) -> None:
        reporter = self._new_reporter(migration)
        work = self._new_work(migration, reporter)
        self._works[uid] = work
        self._names[uid] = (migration.metadata.namespace, migration.metadata.name)
        self._tasks[uid] = asyncio.create_task(self._run(uid, work, reporter), name=f"{self._name} {uid}")

    async def _run(self, uid: str, work: Work, reporter: Reporter) -> None:
        try:
            await work.run()
        finally:
            await reporter.stop()
            del self._works[uid], self._tasks[uid], self._names[uid]
            self._versions.pop(uid, None)


def _over(migration: VMMigration) -> bool:
    phase = migration.status.phase
    return phase is not None and phase.terminal
