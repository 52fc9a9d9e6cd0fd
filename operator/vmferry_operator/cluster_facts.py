"""What the operator asks the API server about other kinds of objects, remembered for a moment."""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from kubernetes.aio.client import ApiClient, ApiException, CoordinationV1Api, CoreV1Api

from vmferry_kube.clients import REQUEST_TIMEOUT
from vmferry_kube.errors import UnavailableError, asking
from vmferry_kube.leases import agent_lease_name
from vmferry_operator.decisions.silence import AgentLease, Leases

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
        self._leases = _Remembered("Lease", read_lease, _agent_lease, clock)
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


class _Remembered(Generic[Answer]):
    """What was read of the objects of a kind, for a moment."""

    def __init__(
        self,
        kind: str,
        read: Callable[..., Awaitable[Any]],
        keep: Callable[[Any], Answer],
        clock: Callable[[], float],
    ) -> None:
        self._kind = kind
        self._read: Callable[..., Awaitable[Any]] = read
        self._keep: Callable[[Any], Answer] = keep
        self._clock: Callable[[], float] = clock
        self._answers: dict[str, tuple[float, Answer | None]] = {}

    async def get(self, name: str) -> Answer | None:
        """What was kept of the object; None: there is none.

        Raises:
            UnknownError: It can't be asked for.
        """
        until, answer = self._answers.get(name, (0.0, None))
        if self._clock() < until:
            return answer
        try:
            with asking():
                answer = self._keep(await self._read(name, _request_timeout=REQUEST_TIMEOUT))
        except UnavailableError as error:
            _logger.warning("can't look for %s %s: %s", self._kind, name, error)
            raise UnknownError(name) from error
        except ApiException as error:
            if error.status != _NOT_FOUND:
                _logger.warning("can't look for %s %s: %s %s", self._kind, name, error.status, error.reason)
                raise UnknownError(name) from error
            answer = None
        if answer is not None:  # what is missing may come at any moment
            self._answers[name] = (self._clock() + REMEMBERED, answer)
        return answer


def _agent_lease(lease: Any) -> AgentLease | None:  # noqa: ANN401 - the client's untyped object
    """By the API server's clock, in the place of the node's, where that tells."""
    written = [each.time for each in lease.metadata.managed_fields or [] if each.time is not None]
    renewed = max(written, default=lease.spec.renew_time)
    if renewed is None or lease.spec.lease_duration_seconds is None:
        return None
    return AgentLease(renewed=renewed, lasts=timedelta(seconds=lease.spec.lease_duration_seconds))


def _labels(namespace: Any) -> Mapping[str, str]:  # noqa: ANN401 - the client's untyped object
    return namespace.metadata.labels or {}
