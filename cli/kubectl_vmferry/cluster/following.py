"""Following migrations as they change, over outages of the API server and the ends of watches."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kubectl_vmferry.cluster.connection import asking
from kubectl_vmferry.cluster.objects import Cluster, Raw
from kubectl_vmferry.failures import Failure, UnreachableFailure

SECONDS = 60
"""Of one watch; then the next one begins, so that a dead connection is noticed."""
_AGAIN = (0.5, 1.0, 2.0, 5.0)
"""Seconds between tries to reach the API server again; the last one for ever."""
_GONE = 410


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the migrations are now, one change after the other."""

    objects: dict[str, Raw]
    """By uid."""
    changed: str | None = None
    """The uid of the one that has changed or come."""
    removed: Raw | None = None
    """One that was deleted."""
    lost: str = ""
    """Why nothing is known just now; empty: it is known."""


class Following:
    """Follows the migrations of a namespace, or of all of them.

    Args:
        cluster: The cluster.
        everywhere: Those of all namespaces.
        selector: Only those with these labels.
        wanted: Which of them count.
        sleep: Waits between two tries.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        everywhere: bool = False,
        selector: str | None = None,
        wanted: Callable[[Raw], bool] = lambda _: True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cluster = cluster
        self._where: dict[str, Any] = {"everywhere": everywhere, "selector": selector}
        self._wanted = wanted
        self._sleep = sleep
        self._objects: dict[str, Raw] = {}

    def __iter__(self) -> Iterator[Seen]:
        """For ever. That the API server is away is told, and is no end; what it refuses from the start on is one.

        Raises:
            Failure: It can't be followed at all.
        """
        failed = 0
        reached = False
        while True:
            try:
                for seen in self._listed_and_watched():
                    reached, failed = True, 0
                    yield seen
            except UnreachableFailure as error:
                if not reached:
                    raise
                yield Seen(objects=dict(self._objects), lost=error.message)
                self._sleep(_AGAIN[min(failed, len(_AGAIN) - 1)])
                failed += 1
            except _StaleError:
                continue

    def _listed_and_watched(self) -> Iterator[Seen]:
        listed = self._cluster.migration_list(**self._where)
        items = {each["metadata"]["uid"]: each for each in listed["items"] if self._wanted(each)}
        before, self._objects = self._objects, items
        for uid, raw in before.items():
            if uid not in items:
                yield Seen(objects=dict(items), removed=raw)
        for uid, raw in items.items():
            if before.get(uid) != raw:
                yield Seen(objects=dict(items), changed=uid)
        yield Seen(objects=dict(items))
        yield from self._watched(listed["metadata"]["resourceVersion"])

    def _watched(self, version: str) -> Iterator[Seen]:
        with asking("VMMigrations"):
            stream = self._cluster.watch_migrations(**self._where, version=version, seconds=SECONDS)
            with closing(stream):
                for line in _lines(stream):
                    yield from self._event(json.loads(line))

    def _event(self, event: Raw) -> Iterator[Seen]:
        raw = event["object"]
        if event["type"] == "ERROR":
            if raw.get("code") == _GONE:
                raise _StaleError
            raise Failure(f"VMMigrations: the watch ended: {raw.get('message')}")
        if not self._wanted(raw):
            return
        uid = raw["metadata"]["uid"]
        if event["type"] == "DELETED":
            self._objects.pop(uid, None)
            yield Seen(objects=dict(self._objects), removed=raw)
        else:
            self._objects[uid] = raw
            yield Seen(objects=dict(self._objects), changed=uid)


class _StaleError(Exception):
    """The version to go on from is too old; look anew."""


def _lines(stream: Any) -> Iterator[bytes]:  # noqa: ANN401 - urllib3's response
    rest = b""
    for chunk in stream.stream(amt=None, decode_content=False):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line for line in whole if line.strip())
