"""One role of the agent: a task for each migration that concerns its node."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from vmferry_agent.reporting import Reporter
from vmferry_api.migrations import VMMigration
from vmferry_kube.backoff import Backoff

_logger = logging.getLogger(__name__)


class Work(Protocol):
    """What a role does for one migration."""

    def update(self, migration: VMMigration) -> None:
        """Take the object as it is now."""

    def vanish(self) -> None:
        """Take it that the object is gone."""

    async def run(self) -> None:
        """Until the migration is over; after an error it can be called again, and goes on from where it is."""


NewReporter = Callable[[VMMigration, Callable[[], None]], Reporter]
"""Makes what writes a migration's status; it tells when it finds that the object is gone."""
NewWork = Callable[[VMMigration, Reporter], Work]


class Role:
    """Keeps one task for each migration that is not over.

    Args:
        name: The role's, for the log.
        new_reporter: Makes the writer of a migration's status.
        new_work: Makes what is done for a migration.
        ended: Whether nothing is left to do for a migration.
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
        ended: Callable[[VMMigration], bool],
    ) -> None:
        self._name = name
        self._ended = ended
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
            migration = VMMigration.read(raw)
        except ValidationError as error:
            name = raw.get("metadata", {}).get("name")
            _logger.error("%s: VMMigration %s can't be read, and is left alone: %s", self._name, name, error)
            return
        if not self._concerns(migration):
            _logger.error("%s: %s is not this node's", self._name, migration.metadata.name)
            return
        uid = migration.metadata.uid
        version = int(migration.metadata.resource_version or 0)
        if 0 < version <= self._versions.get(uid, 0) and event != "DELETED":
            return  # seen already, by the watch or as the answer to a write
        if uid in self._works:
            self._works[uid].update(migration)
            if event == "DELETED":
                self._works[uid].vanish()
        elif event != "DELETED" and self._is_newest(migration, version) and not self._ended(migration):
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

    def _is_newest(self, migration: VMMigration, version: int) -> bool:
        """Whether no newer object has its name. An older one is gone, whether or not the watch has told so."""
        name = (migration.metadata.namespace, migration.metadata.name)
        namesakes = [uid for uid, other in self._names.items() if other == name]
        if any(self._versions[uid] > version for uid in namesakes):
            return False
        for uid in namesakes:
            self._works[uid].vanish()
        return True

    def _begin(self, uid: str, migration: VMMigration) -> None:
        def gone() -> None:
            self._works[uid].vanish()

        reporter = self._new_reporter(migration, gone)
        work = self._new_work(migration, reporter)
        self._works[uid] = work
        self._names[uid] = (migration.metadata.namespace, migration.metadata.name)
        self._tasks[uid] = asyncio.create_task(self._run(uid, work, reporter), name=f"{self._name} {uid}")

    async def _run(self, uid: str, work: Work, reporter: Reporter) -> None:
        try:
            await self._supervise(uid, work)
        finally:
            await reporter.stop()
            del self._works[uid], self._tasks[uid], self._names[uid]
            self._versions.pop(uid, None)

    async def _supervise(self, uid: str, work: Work) -> None:
        """Take it up again if it fails by what nobody has foreseen: a VM may be under way."""
        for delay in Backoff():
            try:
                await work.run()
            except Exception:
                _logger.exception("%s: %s: taken up again in %.1f s", self._name, self._names[uid][1], delay)
                await asyncio.sleep(delay)
            else:
                return
