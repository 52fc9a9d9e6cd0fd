"""Connections to one libvirt daemon: kept alive, opened anew when lost, with one event loop for the process."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, cast

import libvirt

from vmferry_agent.hypervisor.calls import call_in_worker
from vmferry_agent.hypervisor.libvirt_daemons import Daemon, daemon_behind
from vmferry_agent.hypervisor.port import News
from vmferry_kube.backoff import Backoff

_logger = logging.getLogger(__name__)

T = TypeVar("T")

JobCompleted = Callable[[str, Mapping[str, Any]], None]
"""Takes the UUID of a domain and the statistics of its job that has completed."""

_KEEPALIVE = (5, 3)
"""Seconds between two probes, and how many may be lost: a daemon that hangs is noticed in 20 s."""
_TURN_AGAIN = Backoff(first=0.05, most=2.0)
"""An event loop that fails; well below the keepalive's probes, which it answers."""
_OPENING = 10.0
"""Seconds; a daemon that hangs can keep its greeting to itself for as long as it hangs."""


class LibvirtConnection:
    """A connection that opens itself when it is needed. Its methods block: call them in threads.

    Args:
        uri: libvirt's connection URI.
        job_completed: Told of each migration that completes here, in libvirt's event thread.
        opened: Told when it was opened.
    """

    def __init__(
        self, uri: str, *, job_completed: JobCompleted, opened: Callable[[], None] = lambda: None
    ) -> None:
        _run_event_loop()
        self._opened = opened
        self._uri = uri
        self._job_completed = job_completed
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._found: dict[str, tuple[libvirt.virConnect, object]] = {}
        self._listeners: defaultdict[str, list[Callable[[News], None]]] = defaultdict(list)
        self._kept: dict[str, _Kept] = {}

    def get(self) -> libvirt.virConnect:
        """An open connection.

        Raises:
            libvirt.libvirtError: The daemon can't be reached.
            TimeoutError: Another thread still waits for it to open; one such thread is enough.
        """
        if not self._lock.acquire(timeout=_OPENING):
            raise TimeoutError(f"{self._uri} does not open")
        try:
            if self._connection is not None and self._connection.isAlive():
                return self._connection
            self._close()
            self._connection = self._open_to_listen()
            _logger.info("connected to %s", self._uri)
            self._opened()
            return self._connection
        finally:
            self._lock.release()

    def daemon(self) -> Daemon | None:
        """What is known of the daemon; None: nothing."""
        return self.once("daemon", daemon_behind)

    def once(self, what: str, find: Callable[[libvirt.virConnect], T]) -> T:
        """What is looked for once per connection: it may be another one's by the next."""
        connection = self.get()
        known = self._found.get(what)
        if known is None or known[0] is not connection:
            known = self._found[what] = (connection, find(connection))
        return cast("T", known[1])

    @contextmanager
    def opened(self) -> Iterator[libvirt.virConnect]:
        """Another connection to the same daemon.

        A blocking migrateToURI3 needs one of its own: on a shared one, other calls now and then hang for 5 s.
        """
        connection = self._open()
        try:
            yield connection
        finally:
            _close(connection)

    def _open(self) -> libvirt.virConnect:
        connection = libvirt.open(self._uri)
        connection.setKeepAlive(*_KEEPALIVE)
        return connection

    @contextmanager
    def domain(self, uuid: str) -> Iterator[libvirt.virDomain]:
        """A domain, for calls that hang where its QEMU does, on a connection of its own.

        Of one connection the daemon serves five calls at a time (`max_client_requests`). It is kept for as long as
        the domain is listened to.
        """
        listened = uuid in self._listeners
        if listened:
            self.get()  # which hears the news of it
        kept = self._kept.get(uuid)
        if kept is None or not kept.lives:
            connection = self._open()
            try:
                kept = _Kept(connection, connection.lookupByUUIDString(uuid))
            except libvirt.libvirtError:
                _close(connection)
                raise
            if listened:
                self._kept[uuid] = kept
        try:
            yield kept.domain
        finally:
            if self._kept.get(uuid) is not kept:
                kept.close()

    def _open_to_listen(self) -> libvirt.virConnect:
        """One that hears all events, or none at all."""
        connection = self._open()
        try:
            for event, heard in self._events.items():
                connection.domainEventRegisterAny(None, event, heard, None)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def listen(self, uuid: str, told: Callable[[News], None]) -> Iterator[None]:
        """Have news of a domain told, in libvirt's event thread, as long as the context lasts."""
        self._listeners[uuid].append(told)
        try:
            yield
        finally:
            self._listeners[uuid].remove(told)
            if not self._listeners[uuid]:
                del self._listeners[uuid]
                if uuid in self._kept:
                    call_in_worker(self._kept.pop(uuid).close)

    def close(self) -> None:
        """Close it; the next `get` opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            _close(connection)

    @property
    def _events(self) -> Mapping[int, Callable[..., None]]:
        """What is listened to. A connection takes one callback per event."""
        return {
            libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: self._completed,
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: self._changed_state,
            libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION: self._began_pass,
        }

    def _completed(
        self, _connection: object, domain: libvirt.virDomain, statistics: Mapping[str, Any], _opaque: object
    ) -> None:
        self._job_completed(domain.UUIDString(), statistics)
        self._tell(domain, News.STATE)

    def _changed_state(self, _connection: object, domain: libvirt.virDomain, *_: object) -> None:
        self._tell(domain, News.STATE)

    def _began_pass(self, _connection: object, domain: libvirt.virDomain, *_: object) -> None:
        self._tell(domain, News.PASS)

    def _tell(self, domain: libvirt.virDomain, news: News) -> None:
        for told in list(self._listeners.get(domain.UUIDString(), ())):
            told(news)


class _Kept:
    """A domain on its own connection."""

    def __init__(self, connection: libvirt.virConnect, domain: libvirt.virDomain) -> None:
        self._connection = connection
        self.domain = domain

    @property
    def lives(self) -> bool:
        """Whether its connection does, as far as is known."""
        return bool(self._connection.isAlive())

    def close(self) -> None:
        """Let go of both; it blocks while the daemon hangs."""
        del self.domain  # which would keep the connection open
        _close(self._connection)


def _close(connection: libvirt.virConnect) -> None:
    try:
        connection.close()
    except libvirt.libvirtError as error:
        _logger.debug("closing a connection: %s", error)


_event_loop = threading.Lock()
_event_loop_runs = False


def _run_event_loop() -> None:
    """Start libvirt's own event loop, which a process can have only one of."""
    global _event_loop_runs  # noqa: PLW0603 - libvirt's event implementation is global, too
    with _event_loop:
        if _event_loop_runs:
            return
        libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised; no second copy on stderr
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=turn_event_loop, name="libvirt-events", daemon=True).start()
        _event_loop_runs = True


def turn_event_loop(
    turn: Callable[[], object] = libvirt.virEventRunDefaultImpl, wait: Callable[[float], None] = time.sleep
) -> NoReturn:
    """Turn libvirt's event loop; one that fails is turned again, ever less often until it turns.

    Args:
        turn: Turns it once.
        wait: Waits for so many seconds.
    """
    delays = iter(_TURN_AGAIN)
    while True:
        try:
            turn()
            delays = iter(_TURN_AGAIN)
        except libvirt.libvirtError as error:
            delay = next(delays)
            _logger.warning("libvirt's event loop: %s; again in %.2f s", error, delay)
            wait(delay)
