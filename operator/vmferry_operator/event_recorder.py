"""Writes Events (events.k8s.io) of what happens to migrations and policies.

It never keeps a decision waiting and never fails one: what can't be written is tried again for a while, then
dropped and counted. Events are for people; nothing is decided by them, and status tells all that matters.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    EventsV1Api,
    EventsV1Event,
    EventsV1EventSeries,
    V1ObjectMeta,
    V1ObjectReference,
)

from vmferry_api import API_VERSION
from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.backoff import Backoff
from vmferry_kube.clients import REQUEST_TIMEOUT
from vmferry_kube.errors import UnavailableError, asking
from vmferry_kube.measuring import Tell, timed, untold
from vmferry_operator.decisions.events import Event, event_of_policy, migration_events, policy_events
from vmferry_operator.event_series import EventSeries, Regarding, Series

_logger = logging.getLogger(__name__)

CONTROLLER = "vmferry.io/operator"
"""Who reports; `kubectl describe` shows it."""
MOST_TRIES = 12
"""So often one Event is tried before it is dropped (client-go's maxTriesPerEvent): some two minutes."""
LAST_WORDS = 2.0
"""Seconds for what still waits when the operator stops."""
_LONGEST_NOTE = 1024
"""Bytes, by the API server's rule."""
_DEFAULT_NAMESPACE = "default"
_NOT_FOUND = 404
_CONFLICT = 409
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_MERGE_PATCH = "application/merge-patch+json"


class EventRecorder:
    """Tells what happens.

    Args:
        client: The connection to the API server.
        policy: Finds a policy by its name.
        now: The time.
        backoff: The delays between tries.
        tell: Takes what each write took.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        policy: Callable[[str], MigrationPolicy | None],
        now: Callable[[], datetime],
        backoff: Backoff | None = None,
        tell: Tell = untold,
    ) -> None:
        self._api = EventsV1Api(client)
        self._policy = policy
        self._now = now
        self._tell = tell
        self._backoff = backoff or Backoff(first=0.5, most=30)
        self._instance = os.environ.get("POD_NAME") or socket.gethostname()
        self._series = EventSeries()
        self._something_new = asyncio.Event()
        self._drops_told = False
        self._worker: asyncio.Task[None] | None = None

    @property
    def dropped(self) -> int:
        """How many Events were dropped since the start."""
        return self._series.dropped

    @property
    def has_died(self) -> bool:
        """Whether they should be written and are not."""
        return self._worker is not None and self._worker.done()

    def start(self) -> None:
        """Begin to write; what was recorded before is written, too."""
        self._worker = asyncio.create_task(self._work(), name="write events")

    async def stop(self, *, last_words: float = LAST_WORDS) -> None:
        """Write no more; it may be started anew.

        Args:
            last_words: Seconds for what still waits.
        """
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.cancel()
        flushing = asyncio.create_task(self._flush(), name="write the last events")
        await asyncio.wait({flushing}, timeout=last_words)
        flushing.cancel()
        await asyncio.gather(worker, flushing, return_exceptions=True)

    def discard(self, until: datetime) -> None:
        """Forget what was recorded until then and is not written: another has told it."""
        self._series.discard(until)

    def migration_changed(self, before: VMMigration | None, after: VMMigration | None) -> None:
        """Tell what has happened between two sightings; of the first one it is not known what is new."""
        if before is None or after is None or before.metadata.uid != after.metadata.uid:
            return
        events = migration_events(before, after)
        if not events:
            return
        regarding, policy = _regarding("VMMigration", after), self._policy_of(after)
        for event in events:
            self._record(event, regarding)
            told = event_of_policy(event, after)
            if told is not None and policy is not None:
                self._record(told, policy, related=regarding)

    def policy_changed(self, before: MigrationPolicy | None, after: MigrationPolicy | None) -> None:
        """The same of a policy itself."""
        if before is None or after is None or before.metadata.uid != after.metadata.uid:
            return
        for event in policy_events(before, after):
            self._record(event, _regarding("MigrationPolicy", after))

    def _policy_of(self, migration: VMMigration) -> Regarding | None:
        applied = migration.status.policy
        policy = self._policy(applied.name) if applied is not None else None
        return None if policy is None else _regarding("MigrationPolicy", policy)

    def _record(self, event: Event, regarding: Regarding, *, related: Regarding | None = None) -> None:
        taken = self._series.add(event, regarding, related=related, now=self._now())
        if taken:
            self._something_new.set()
        else:
            self._tell_drop(f"too many: {event.reason} of {regarding.kind} {regarding.name}")

    async def _work(self) -> None:
        while True:
            self._something_new.clear()
            await self._flush()
            due = self._series.next_due()
            delay = None if due is None else max(0.0, (due - self._now()).total_seconds())
            try:
                await asyncio.wait_for(self._something_new.wait(), delay)
            except TimeoutError:
                continue

    async def _flush(self) -> None:
        """Write all that is due."""
        while (series := self._series.due(self._now())) is not None:
            await self._write(series)

    async def _write(self, series: Series) -> None:
        """Try to write one; drop it when it is refused, or after too many tries."""
        try:
            count = await self._try(series)
        except UnavailableError as error:
            # before the others, which fare no better: all wait for its delay, and its delays grow
            await asyncio.sleep(self._put_off(series, error, others_wait=True))
        except ApiException as error:
            if error.status == _NOT_FOUND and series.exists:
                self._series.vanished(series)
            elif _passes(error):
                self._put_off(series, error)
            else:
                self._drop(series, error)
        else:
            self._series.written(series, count, now=self._now())

    def _put_off(self, series: Series, error: Exception, *, others_wait: bool = False) -> float:
        """Have it tried again, or drop it after too many tries; the seconds until then."""
        delay = next(islice(self._backoff, series.tries, None))
        self._series.failed(series, again=self._now() + timedelta(seconds=0 if others_wait else delay))
        if series.tries >= MOST_TRIES:
            self._drop(series, error)
        return delay

    def _drop(self, series: Series, error: Exception) -> None:
        self._series.refused(series)
        self._tell_drop(f"{series.name}: {_said(error)}")

    async def _try(self, series: Series) -> int:
        """Create it, or bring its count up to date; the count that the API server has by then.

        Raises:
            UnavailableError: There was no answer.
            kubernetes.aio.client.ApiException: Refused.
        """
        namespace, count = series.regarding.namespace or _DEFAULT_NAMESPACE, series.count
        if series.exists:
            with timed(self._tell), asking():
                await self._api.patch_namespaced_event(
                    series.name,
                    namespace,
                    {"series": _counted(series)},
                    _content_type=_MERGE_PATCH,
                    _request_timeout=REQUEST_TIMEOUT,
                )
            return count
        try:
            with timed(self._tell), asking():
                await self._api.create_namespaced_event(
                    namespace, self._body(series, namespace), _request_timeout=REQUEST_TIMEOUT
                )
        except ApiException as error:
            if error.status != _CONFLICT:
                raise
            return 1  # an earlier try has come through, and its answer not
        return count

    def _body(self, series: Series, namespace: str) -> EventsV1Event:
        event = series.event
        return EventsV1Event(
            metadata=V1ObjectMeta(name=series.name, namespace=namespace),
            event_time=series.first,
            reporting_controller=CONTROLLER,
            reporting_instance=self._instance,
            type=event.type,
            reason=event.reason,
            action=event.action,
            note=_cut(event.note),
            regarding=_reference(series.regarding),
            related=None if series.related is None else _reference(series.related),
            series=None if series.count == 1 else _counted(series),
        )

    def _tell_drop(self, why: str) -> None:
        """The first one is told, the others are counted."""
        level = logging.DEBUG if self._drops_told else logging.WARNING
        self._drops_told = True
        _logger.log(level, "an Event is dropped, and others may be without a word: %s", why)


def _regarding(kind: str, of: VMMigration | MigrationPolicy) -> Regarding:
    metadata = of.metadata
    return Regarding(kind=kind, namespace=metadata.namespace or "", name=metadata.name, uid=metadata.uid)


def _reference(regarding: Regarding) -> V1ObjectReference:
    return V1ObjectReference(
        api_version=API_VERSION,
        kind=regarding.kind,
        namespace=regarding.namespace or None,
        name=regarding.name,
        uid=regarding.uid,
    )


def _counted(series: Series) -> EventsV1EventSeries:
    return EventsV1EventSeries(count=series.count, last_observed_time=series.last)


def _passes(error: ApiException) -> bool:
    """Whether it may be taken another time."""
    return error.status in {None, 0, _TOO_MANY_REQUESTS} or error.status >= _SERVER_ERROR


def _cut(note: str) -> str:
    """As much of it as the API server takes."""
    if len(note.encode()) <= _LONGEST_NOTE:
        return note
    return note.encode()[: _LONGEST_NOTE - len("…".encode())].decode(errors="ignore") + "…"


def _said(error: Exception) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return str(error)
