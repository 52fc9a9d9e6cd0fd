"""Connections to one libvirt daemon: kept alive, opened anew when lost, with one event loop for the process."""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import libvirt

from vmferry_agent.hypervisor.libvirt_daemons import Daemon, daemon_behind
from vmferry_agent.hypervisor.port import News

_logger = logging.getLogger(__name__)

T = TypeVar("T")

JobCompleted = Callable[[str, Mapping[str, Any]], None]
"""Takes the UUID of a domain and the statistics of its job that has completed."""

_KEEPALIVE = (5, 3)
"""Seconds between two probes, and how many may be lost: a daemon that hangs is noticed in 20 s."""


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

    def forget(self, what: str) -> None:
        """Look for it anew the next time."""
        self._found.pop(what, None)

    def open(self) -> libvirt.virConnect:
        """Another connection to the same daemon; to be closed by the caller.

        A blocking migrateToURI3 needs one of its own: on a shared one, other calls now and then hang for 5 s.
        """
        connection = libvirt.open(self._uri)
        connection.setKeepAlive(*_KEEPALIVE)
        return connection

    def _open_to_listen(self) -> libvirt.virConnect:
        """One that hears all events, or none at all."""
        connection = self.open()
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

    def close(self) -> None:
        """Close it; the next `get` opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except libvirt.libvirtError as error:
            _logger.debug("closing %s: %s", self._uri, error)

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
        threading.Thread(target=_turn_event_loop, name="libvirt-events", daemon=True).start()
        _event_loop_runs = True


def _turn_event_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            _logger.warning("libvirt's event loop: %s", error)
