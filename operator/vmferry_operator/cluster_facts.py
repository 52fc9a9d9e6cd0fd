"""What the operator asks the API server about other kinds of objects, remembered for a moment."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from kubernetes.aio.client import ApiClient, ApiException, CoordinationV1Api, CoreV1Api

from vmferry_kube.clients import REQUEST_TIMEOUT
from vmferry_kube.errors import UnavailableError, asking
from vmferry_kube.leases import agent_lease_name
from vmferry_operator.decisions.silence import AgentLease, Leases, last_written

_logger = logging.getLogger(__name__)

REMEMBERED = 5.0
"""Seconds; so long an answer serves all migrations that ask."""
_NOT_FOUND = 404

Answer = TypeVar("Answer")


class ClusterFacts:
    """Nodes, Namespaces, and the Leases of the nodes' agents.

    Args:
        client: The connection to the API server.
        namespace: Where the Leases are.
        clock: Seconds that never go back.
    """

    def __init__(
        self, client: ApiClient, *, namespace: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        core = CoreV1Api(client)
        read_lease = partial(CoordinationV1Api(client).read_namespaced_lease, namespace=namespace)
        self._leases = _Remembered("Lease", read_lease, _agent_lease, clock, bad_news=True)
        self._nodes = _Remembered("Node", core.read_node, lambda _: True, clock)
        self._namespaces = _Remembered("Namespace", core.read_namespace, _labels, clock)

    async def existing_nodes(self, names: Collection[str]) -> Collection[str] | None:
        """Those of these nodes that exist; None: not known just now."""
        existing = set()
        for name in names:
            try:
                found = await self._nodes.get(name)
            except UnknownError:
                return None
            if found:
                existing.add(name)
        return existing

    async def namespace_labels(self, name: str) -> Mapping[str, str] | None:
        """The labels of a Namespace; None: not known just now."""
        try:
            return await self._namespaces.get(name) or {}
        except UnknownError:
            return None

    async def agent_leases(self, nodes: Collection[str]) -> Leases:
        """The Leases of the agents of these nodes, without those that are not there or not known just now."""
        found = {}
        for node in nodes:
            try:
                lease = await self._leases.get(agent_lease_name(node))
            except UnknownError:
                continue
            if lease is not None:
                found[node] = lease
        return found


class UnknownError(Exception):
    """The API server could not be asked."""


@dataclass(frozen=True, kw_only=True)
class _Found(Generic[Answer]):
    """What came of reading an object."""

    until: float
    """By the clock; then it is read anew."""
    answer: Answer | None = None
    """What was kept of it; None: there is none."""
    known: bool = True
    """Whether the API server could be asked."""


class _Remembered(Generic[Answer]):
    """What was read of the objects of a kind, for a moment; who asks for one that is being read waits for that.

    Args:
        kind: For the log.
        read: Reads one by its name.
        keep: Takes out of it what is to be remembered.
        clock: Seconds that never go back.
        bad_news: Whether it is remembered, too, that there is none or that it can't be asked for. Not where
            something ends for want of the object, or waits for it: it may come at any moment.
    """

    def __init__(
        self,
        kind: str,
        read: Callable[..., Awaitable[Any]],
        keep: Callable[[Any], Answer | None],
        clock: Callable[[], float],
        *,
        bad_news: bool = False,
    ) -> None:
        self._kind = kind
        self._read: Callable[..., Awaitable[Any]] = read
        self._keep: Callable[[Any], Answer | None] = keep
        self._clock: Callable[[], float] = clock
        self._bad_news = bad_news
        self._found: dict[str, _Found[Answer]] = {}
        self._being_read: dict[str, asyncio.Task[_Found[Answer]]] = {}

    async def get(self, name: str) -> Answer | None:
        """What was kept of the object; None: there is none.

        Raises:
            UnknownError: It can't be asked for.
        """
        found = self._found.get(name)
        if found is None or found.until <= self._clock():
            # by a task of its own, since one of those who wait may be cancelled
            found = await asyncio.shield(self._being_read.get(name) or self._begin_to_read(name))
        if not found.known:
            raise UnknownError(name)
        return found.answer

    def _begin_to_read(self, name: str) -> asyncio.Task[_Found[Answer]]:
        task = asyncio.create_task(self._look(name), name=f"look for {self._kind} {name}")
        self._being_read[name] = task
        task.add_done_callback(lambda _: self._being_read.pop(name))
        return task

    async def _look(self, name: str) -> _Found[Answer]:
        answer, known = None, True
        try:
            with asking():
                answer = self._keep(await self._read(name, _request_timeout=REQUEST_TIMEOUT))
        except UnavailableError as error:
            _logger.warning("can't look for %s %s: %s", self._kind, name, error)
            known = False
        except ApiException as error:
            known = error.status == _NOT_FOUND
            if not known:
                _logger.warning("can't look for %s %s: %s %s", self._kind, name, error.status, error.reason)
        now = self._clock()
        found = _Found(until=now + REMEMBERED, answer=answer, known=known)
        if answer is not None or self._bad_news:
            lasting = {other: each for other, each in self._found.items() if each.until > now}
            self._found = {**lasting, name: found}
        return found


def _agent_lease(lease: Any) -> AgentLease | None:  # noqa: ANN401 - the client's untyped object
    """By the API server's clock, in the place of the node's, where that tells."""
    times = [each.time for each in lease.metadata.managed_fields or [] if each.time is not None]
    renewed = last_written(times, now=datetime.now(UTC)) or lease.spec.renew_time
    if renewed is None or lease.spec.lease_duration_seconds is None:
        return None
    return AgentLease(renewed=renewed, lasts=timedelta(seconds=lease.spec.lease_duration_seconds))


def _labels(namespace: Any) -> Mapping[str, str]:  # noqa: ANN401 - the client's untyped object
    return namespace.metadata.labels or {}
