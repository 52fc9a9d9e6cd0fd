"""What the operator has last seen of every object."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.keys import ObjectKey

_logger = logging.getLogger(__name__)

_AT_A_TIME = 50
"""Objects of a list that are read before all else has its turn: some 15 ms. Thousands would hold up the Lease."""

Object = TypeVar("Object", VMMigration, MigrationPolicy)


class Store(Generic[Object]):
    """The newest version seen of each object of a kind, by whichever way it came: watch, list, or own write.

    Args:
        kind: The objects' type.
        changed: Told of each object that appears, changes or goes: before and after.
    """

    def __init__(
        self, kind: type[Object], *, changed: Callable[[ObjectKey, Object | None, Object | None], None]
    ) -> None:
        self._kind: type[Object] = kind
        self._changed: Callable[[ObjectKey, Object | None, Object | None], None] = changed
        self._objects: dict[ObjectKey, Object] = {}
        self._deleted: dict[ObjectKey, int] = {}
        """The versions at which objects went: a list that was read before must not bring them back."""
        self._listed = 0
        """The version of the list that was taken last."""
        self._replacing = asyncio.Lock()
        self._unread: set[ObjectKey] = set()
        """Those whose status can't be read."""

    @property
    def unread(self) -> int:
        """How many there are whose status can't be read."""
        return len(self._unread)

    def get(self, key: ObjectKey) -> Object | None:
        """The object, if there is one."""
        return self._objects.get(key)

    def all(self) -> list[Object]:
        """All objects."""
        return list(self._objects.values())

    def seen(self, event: str | None, raw: Mapping[str, Any]) -> None:
        """Take an event of the watch."""
        if event == "DELETED":
            self.gone(raw)
        else:
            self.take(raw)

    def take(self, raw: Mapping[str, Any]) -> Object | None:
        """Take an object unless a newer version of it has been seen; the newest is returned."""
        key = _key(raw)
        old, version = self._objects.get(key), int(raw["metadata"].get("resourceVersion") or 0)
        if old is not None and version < _version(old):
            return old
        if version <= self._deleted.get(key, -1):
            return None
        new = self._read(key, raw)
        if new is None:
            return None
        self._objects[key] = new
        if old is None or new != old:
            self._changed(key, old, new)
        return new

    def _read(self, key: ObjectKey, raw: Mapping[str, Any]) -> Object | None:
        """The object; None: of its status nothing can be read, nor is it known from before."""
        try:
            new = self._kind.read(raw)
        except ValidationError as error:
            if key not in self._unread:  # an agent may write such a thing many times a second
                _logger.error("%s %s: its status can't be read: %s", self._kind.__name__, key, error)
            self._unread.add(key)
            return self._with_old_status(key, raw, error)
        self._unread.discard(key)
        return new

    def _with_old_status(
        self, key: ObjectKey, raw: Mapping[str, Any], error: ValidationError
    ) -> Object | None:
        """What its user says by now, and what was read of its status last: a cancel and a deletion are heard."""
        old = self._objects.get(key)
        if old is None or old.metadata.uid != raw["metadata"].get("uid", ""):
            return None
        with suppress(ValidationError):
            return self._kind.read_but_status(raw, error).replace(status=old.status)
        return None

    def gone(self, raw: Mapping[str, Any]) -> None:
        """Forget an object, unless another one has its name by now."""
        key = _key(raw)
        old = self._objects.get(key)
        version = int(raw["metadata"].get("resourceVersion") or 0)
        self._unread.discard(key)
        if old is not None and _version(old) <= version:
            del self._objects[key]
            self._changed(key, old, None)
        self._deleted[key] = max(version, self._deleted.get(key, -1))

    async def replace(self, listed: Iterable[Mapping[str, Any]], *, version: int) -> None:
        """Take a full list: what is not in it is gone (a watch does not tell what vanished while it was lost).

        Args:
            listed: The objects.
            version: The list's resource version; what the watch has told since counts more than the list.
        """
        async with self._replacing:
            if version >= self._listed:  # all that an older one could add has gone since
                await self._replace(list(listed), version)

    async def _replace(self, raws: Sequence[Mapping[str, Any]], version: int) -> None:
        keys = {_key(raw) for raw in raws}
        self._unread &= keys
        for number, raw in enumerate(raws, start=1):
            self.take(raw)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        for key, old in list(self._objects.items()):
            if key not in keys and _version(old) <= version:
                del self._objects[key]
                self._changed(key, old, None)
        self._deleted = {key: went for key, went in self._deleted.items() if went > version}
        self._listed = version


def _key(raw: Mapping[str, Any]) -> ObjectKey:
    metadata = raw["metadata"]
    return ObjectKey(metadata.get("namespace") or "", metadata["name"])


def _version(seen: VMMigration | MigrationPolicy) -> int:
    """Resource versions of one kind grow, over all objects of it."""
    return int(seen.metadata.resource_version or 0)
