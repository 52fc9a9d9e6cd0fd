"""Watching one kind of object, by kopf in a thread of its own.

kopf cancels all tasks of its event loop when it ends, and takes the process' signals when it runs in the main
thread; in a thread of its own it does neither, and may be started anew when it gives up on the API server.
"""

import asyncio
import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf
from typing_extensions import override

from vmferry_api import GROUP, VERSION
from vmferry_kube.backoff import Backoff
from vmferry_kube.connections import ClosingConnector

Seen = Callable[[str | None, Mapping[str, Any]], None]
"""Takes the type of an event (None: the object was listed) and the object."""

_logger = logging.getLogger(__name__)

HEALTHY = 60.0
"""Seconds; a watch that lasted so long had nothing wrong with it, and begins again without a long delay."""
_LEAVING = 10.0
"""Seconds for a watch to end: kopf gives five to requests that wait for credentials, and may need some more."""


class _NoDifferences(kopf.DiffBaseStorage):
    """Spares kopf the comparison of each object with its former self, which nobody asks for: most of its work."""

    @override
    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    @override
    def fetch(self, *, body: kopf.Body) -> None:
        return None

    @override
    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


class Watch:
    """Hands each event of a kind to a callback in the event loop that it was started from.

    Args:
        plural: The kind's plural name in the group vmferry.io.
        seen: Called for every event, in the order of each object's events. After a lost connection all objects
            come again, so that it must be idempotent; one that was deleted meanwhile does not.
        field_selector: A server-side selector, such as `spec.sourceNode=node-a`.
        backoff: The delays before it is begun again.
        spread: Seconds over which to spread when a stream that was lost is asked for again. A thousand agents lose
            theirs in the same moment, and the first try is without a delay otherwise.
    """

    def __init__(
        self,
        *,
        plural: str,
        seen: Seen,
        field_selector: str | None = None,
        backoff: Backoff = Backoff(first=1, most=30),  # noqa: B008 - immutable
        spread: float = 0.0,
    ) -> None:
        self.plural = plural
        self._seen = seen
        self._field_selector = field_selector
        self._backoff = backoff
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{plural}", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spread = spread
        self._streams = False
        self._stop_kopf: Callable[[], object] = bool  # nothing runs yet
        self._lists = False  # ask for what there is by a list, since the API server does not stream it
        self.streams_begun = 0
        """How often the API server has begun to stream; each time, it tells first of all that there is."""
        self.heard_at: datetime | None = None
        """When it last did that, or told of an object. The silence of one that works lasts 70 s at most."""

    @property
    def lives(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin; callbacks come in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def end(self) -> None:
        """End it without waiting: whoever is about to leave need not see kopf close its connections."""
        self._stop.set()
        with contextlib.suppress(RuntimeError):  # it has just ended by itself: its loop is closed
            self._stop_kopf()

    async def stop(self) -> None:
        """End, waiting a few seconds for kopf to close its connections."""
        self.end()
        if self.lives:  # one that was never started can't be waited for
            await asyncio.to_thread(self._thread.join, _LEAVING)
        if self.lives:
            _logger.warning("the watch of %s has not ended after %.0f s; it is left", self.plural, _LEAVING)

    def _run(self) -> None:
        delays = iter(self._backoff)
        while True:
            began = time.monotonic()
            why = "it ended"
            try:
                asyncio.run(self._operator())
            except BaseException as error:  # kopf lets a CancelledError out, too
                why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                _logger.debug("the watch of %s", self.plural, exc_info=error)
            if time.monotonic() - began >= HEALTHY:
                delays = iter(self._backoff)
            delay = next(delays)
            if self._stop.is_set():
                return
            _logger.warning("the watch of %s: %s; again in %.1f s", self.plural, why, delay)
            if self._stop.wait(delay):
                return

    async def _operator(self) -> None:
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._new_login())

        @kopf.on.event(GROUP, VERSION, self.plural, registry=registry)
        async def seen(event: kopf.RawEvent, **_: object) -> None:
            self.heard_at = datetime.now(UTC)
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._seen, event["type"], event["object"])

        # Not the threading.Event: kopf waits for such a one in a thread, without which this loop could not end.
        stop = asyncio.Event()
        self._stop_kopf = partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set)
        if self._stop.is_set():
            return
        await kopf.operator(
            registry=registry,
            settings=self._settings(),
            standalone=True,
            clusterwide=True,
            stop_flag=stop,
        )

    def _new_login(self) -> Callable[..., Any]:
        """Make the login of one run of kopf: its sessions tell of each request for a stream."""
        tried: list[kopf.ConnectionInfo] = []

        async def login(**words: Any) -> kopf.AiohttpSession | None:  # noqa: ANN401 - kopf's
            info = kopf.login_via_client(**words)
            if info is None:
                return None
            if info in tried:  # kopf itself knows a session again, but not what is behind a new one
                raise kopf.LoginError("the API server does not take the credentials any more")
            tried.append(info)
            session = aiohttp.ClientSession(
                connector=ClosingConnector(info.as_ssl_context()),
                headers=info.as_http_headers(),
                proxy=info.proxy_url,
                trace_configs=[self._trace()],
            )
            return kopf.AiohttpSession(server=info.server, aiohttp_session=session)

        return login

    def _trace(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._asks)
        trace.on_request_end.append(self._answered)
        return trace

    async def _asks(
        self,
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        asked: aiohttp.TraceRequestStartParams,
    ) -> None:
        if _is_watch(asked) and self._streams:
            self._streams = False
            await asyncio.sleep(random.uniform(0, self._spread))  # noqa: S311 - spreads load, keeps no secret

    async def _answered(
        self, _session: aiohttp.ClientSession, _context: SimpleNamespace, asked: aiohttp.TraceRequestEndParams
    ) -> None:
        if not _is_watch(asked):
            return
        if asked.response.ok:
            self._streams = True
            self.heard_at = datetime.now(UTC)  # before the count: who waits for that reads this
            self.streams_begun += 1
        elif asked.response.status == HTTPStatus.UNPROCESSABLE_ENTITY and not self._lists:
            # Kubernetes 1.31 and 1.33 have the feature WatchList off; kopf ends by this answer, and is begun again
            self._lists = True
            _logger.info(
                "the watch of %s: the API server does not stream what there is; lists it", self.plural
            )

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True  # neither CRDs nor namespaces need watching
        settings.posting.enabled = False
        settings.persistence.diffbase_storage = _NoDifferences()
        settings.networking.error_backoffs = Backoff()
        settings.networking.request_timeout = 30
        settings.watching.initial_streaming = not self._lists
        if self._field_selector:
            settings.watching.field_selectors[GROUP, VERSION, self.plural] = self._field_selector
        return settings


def _is_watch(asked: aiohttp.TraceRequestStartParams | aiohttp.TraceRequestEndParams) -> bool:
    return asked.url.query.get("watch") == "true"
