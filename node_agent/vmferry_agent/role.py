"""One role of the agent: a task for each migration that concerns its node."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import ValidationError

from vmferry_agent.reporting import ObjectGoneError, Reporter, without_progress
from vmferry_api.migrations import VMMigration
from vmferry_kube.backoff import Backoff
from vmferry_kube.logs import about

_logger = logging.getLogger(__name__)

_LAST_WORD = 600.0
"""Seconds that the last report of a migration may wait for an API server that is away."""


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
Follow = Callable[[VMMigration, VMMigration], None]
"""Told of each change of a migration that is worked on: as it was, as it is."""


@dataclass(kw_only=True)
class _Served:
    """A migration that is worked on."""

    migration: VMMigration
    version: int
    but_progress: tuple[object, ...] = ()
    """All of it that matters here but for its progress, as it was when it was read last."""
    fields: dict[str, str | int] = field(default_factory=dict)
    """What every line of the log about it bears."""
    work: Work
    reporter: Reporter

    @property
    def name(self) -> tuple[str | None, str]:
        return self.migration.metadata.namespace, self.migration.metadata.name


class Role:
    """Keeps one task for each migration that is not over.

    Args:
        name: The role's, for the log.
        new_reporter: Makes the writer of a migration's status.
        new_work: Makes what is done for a migration.
        ended: Whether nothing is left to do for a migration.
        concerns: Whether a migration is this node's in this role. The watch selects already; but to act for
            another node would be too bad to rest on one setting.
        follow: Told of each change.
    """

    def __init__(
        self,
        name: str,
        *,
        new_reporter: NewReporter,
        new_work: NewWork,
        concerns: Callable[[VMMigration], bool],
        ended: Callable[[VMMigration], bool],
        follow: Follow = lambda _before, _now: None,
    ) -> None:
        self.name = name
        self._is_done = ended
        self._concerns = concerns
        self._new_reporter = new_reporter
        self._new_work = new_work
        self._follow = follow
        self._served: dict[str, _Served] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._died: list[str] = []

    @property
    def migrations(self) -> Iterable[VMMigration]:
        """Those that are worked on, as last seen."""
        return [served.migration for served in self._served.values()]

    @property
    def writes_waiting(self) -> int:
        """How many of them have a change to report that is not written yet."""
        return sum(served.reporter.waiting for served in self._served.values())

    @property
    def dead(self) -> Sequence[str]:
        """What should run and does not."""
        silent = [
            f"{self.name}: {served.migration.metadata.name} is not reported any more"
            for served in self._served.values()
            if not served.reporter.lives
        ]
        return [*self._died, *silent]

    def seen(self, event: str | None, raw: Mapping[str, Any]) -> None:
        """Take an event of the watch, or what a write has returned."""
        metadata = raw.get("metadata", {})
        uid, version = metadata.get("uid", ""), int(metadata.get("resourceVersion") or 0)
        served = self._served.get(uid)
        if served is not None and 0 < version <= served.version and event != "DELETED":
            return  # seen already, by the watch or as the answer to a write: half of all, and reading costs
        but_progress = _but_progress(raw)
        if served is not None and event != "DELETED" and served.but_progress == but_progress:
            served.version = version  # the other half, for as long as a migration only gets on
            return
        try:
            migration = VMMigration.read(raw)
        except ValidationError as error:
            name = metadata.get("name")
            _logger.error("%s: VMMigration %s can't be read, and is left alone: %s", self.name, name, error)
            if served is not None:
                self._hear_the_user(served, raw, version, error)
            return
        if not self._concerns(migration):
            _logger.error("%s: %s is not this node's", self.name, migration.metadata.name)
        elif served is not None:
            served.but_progress = but_progress
            self._update(served, migration, version, deleted=event == "DELETED")
        elif event != "DELETED" and self._is_newest(migration, version) and not self._is_done(migration):
            self._begin(uid, migration, version)

    def version(self, uid: str) -> str:
        """The newest version seen of a migration that is worked on; empty: none."""
        served = self._served.get(uid)
        return str(served.version or "") if served is not None else ""

    async def flush(self) -> None:
        """Wait until all but mere progress is written."""
        reporters = [served.reporter for served in self._served.values()]
        await asyncio.gather(*(reporter.flush() for reporter in reporters), return_exceptions=True)

    async def stop(self) -> None:
        """End all tasks; what runs in libvirt goes on."""
        self._stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _update(self, served: _Served, migration: VMMigration, version: int, *, deleted: bool) -> None:
        before, served.migration, served.version = served.migration, migration, version
        served.fields.update(_fields(migration))
        with about(served.fields):
            served.work.update(migration)
            if deleted:
                served.work.vanish()
        self._follow(before, migration)

    def _hear_the_user(
        self, served: _Served, raw: Mapping[str, Any], version: int, error: ValidationError
    ) -> None:
        """Of what can't be read as a whole (a newer operator's status, say) take the user's word."""
        with contextlib.suppress(ValidationError):
            readable = VMMigration.read_but_status(raw, error)
            self._update(served, readable.replace(status=served.migration.status), version, deleted=False)

    def _is_newest(self, migration: VMMigration, version: int) -> bool:
        """Whether no newer object has its name. An older one is gone, whether or not the watch has told so."""
        name = (migration.metadata.namespace, migration.metadata.name)
        namesakes = [served for served in self._served.values() if served.name == name]
        if any(served.version > version for served in namesakes):
            return False
        for served in namesakes:
            served.work.vanish()
        return True

    def _begin(self, uid: str, migration: VMMigration, version: int) -> None:
        def gone() -> None:
            work.vanish()

        fields = _fields(migration)
        with about(fields):  # for all tasks that are created here
            reporter = self._new_reporter(migration, gone)
            work = self._new_work(migration, reporter)
            self._served[uid] = _Served(
                migration=migration, version=version, fields=fields, work=work, reporter=reporter
            )
            task = asyncio.create_task(self._run(uid), name=f"{self.name} {uid}")
        self._tasks[uid] = task
        task.add_done_callback(lambda ended: self._ended(migration.metadata.name, ended))

    async def _run(self, uid: str) -> None:
        served = self._served[uid]
        try:
            await self._supervise(served)
            with contextlib.suppress(ObjectGoneError, TimeoutError):  # the last word is written, too
                async with asyncio.timeout(_LAST_WORD):
                    await served.reporter.flush()
        finally:
            await served.reporter.stop()
            del self._served[uid], self._tasks[uid]

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        """Note that a task has ended as none should; a VM may be under way that nobody looks after."""
        if self._stopping or not (task.cancelled() or task.exception()):
            return
        self._died.append(f"{self.name}: the task of {name} has died")
        _logger.error("%s: the task of %s has died", self.name, name)

    async def _supervise(self, served: _Served) -> None:
        """Take it up again if it fails by what nobody has foreseen: a VM may be under way."""
        for delay in Backoff():
            try:
                await served.work.run()
            except Exception:
                _logger.exception("%s: %s: taken up again in %.1f s", self.name, served.name[1], delay)
                await asyncio.sleep(delay)
            else:
                return


def _but_progress(raw: Mapping[str, Any]) -> tuple[object, ...]:
    metadata, status = raw.get("metadata", {}), raw.get("status", {})
    deleted = metadata.get("deletionTimestamp")
    return metadata.get("generation"), deleted, raw.get("spec"), without_progress(status)


def _fields(migration: VMMigration) -> dict[str, str | int]:
    metadata, desired = migration.metadata, migration.status.desired
    fields: dict[str, str | int] = {"object": f"{metadata.namespace}/{metadata.name}"}
    if desired is not None:
        fields |= {"revision": desired.revision, "attempt": desired.attempt}
    return fields
