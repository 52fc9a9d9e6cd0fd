"""Leases, and one that tells that a process lives, renewed as the kubelet renews its node's."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CoordinationV1Api,
    V1Lease,
    V1LeaseSpec,
    V1ObjectMeta,
)

from vmferry_kube.backoff import Backoff
from vmferry_kube.clients import REQUEST_TIMEOUT
from vmferry_kube.errors import UnavailableError, asking

_logger = logging.getLogger(__name__)

DURATION = timedelta(seconds=40)
"""After so long without a renewal its holder counts as gone."""
EVERY = timedelta(seconds=10)
NAMESPACE = "vmferry-system"
"""Where the Leases are, unless told otherwise."""
_JITTER = 0.04
_NOT_FOUND = 404
_CONFLICT = 409
OPERATOR_LEASE_NAME = "vmferry-operator"
"""The Lease of the operator that leads."""


def agent_lease_name(node: str) -> str:
    """The Lease of the agent of a node."""
    return f"vmferry-agent-{node}"


class LeaseObject:
    """One Lease in the API server.

    Args:
        client: The connection to the API server.
        namespace: The Lease's.
        name: The Lease's.
    """

    def __init__(self, client: ApiClient, *, namespace: str, name: str) -> None:
        self._api = CoordinationV1Api(client)
        self._namespace = namespace
        self._name = name

    def __str__(self) -> str:
        """As kubectl and its users write it."""
        return f"Lease {self._namespace}/{self._name}"

    async def read(self, *, within: float = REQUEST_TIMEOUT) -> V1Lease | None:
        """As it is; None: there is none.

        Args:
            within: Seconds.

        Raises:
            UnavailableError: There was no answer.
            kubernetes.aio.client.ApiException: Refused.
        """
        try:
            with asking():
                return await self._api.read_namespaced_lease(
                    self._name, self._namespace, _request_timeout=within
                )
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def write(
        self, spec: V1LeaseSpec, known: V1ObjectMeta | None, *, within: float = REQUEST_TIMEOUT
    ) -> V1Lease:
        """Write it; as it then is.

        Args:
            spec: What it is to say.
            known: Of the Lease as it was last seen; the write holds for that version only. None: it is created.
            within: Seconds.

        Raises:
            LeaseChangedError: It is another one by now: changed, created, or gone.
            UnavailableError: There was no answer.
            kubernetes.aio.client.ApiException: Refused.
        """
        body = V1Lease(metadata=known or V1ObjectMeta(name=self._name), spec=spec)
        try:
            with asking():
                if known is None:
                    return await self._api.create_namespaced_lease(
                        self._namespace, body, _request_timeout=within
                    )
                return await self._api.replace_namespaced_lease(
                    self._name, self._namespace, body, _request_timeout=within
                )
        except ApiException as error:
            if error.status in {_CONFLICT, _NOT_FOUND}:
                raise LeaseChangedError(f"{self} has changed") from error
            raise


class LeaseChangedError(Exception):
    """Somebody else has written, created or removed it since it was read."""


def micro_time(time: datetime) -> datetime:
    """As a MicroTime, which must have its six digits."""
    return time.replace(microsecond=time.microsecond or 1)


class Lease:
    """Keeps one Lease renewed. It is information for others: not to have it changes nothing for its holder.

    Args:
        client: The connection to the API server.
        namespace: The Lease's.
        name: The Lease's.
        holder: Who holds it.
        every: The time between two renewals, and what the first one is spread over.
        now: The time.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespace: str,
        name: str,
        holder: str,
        every: timedelta = EVERY,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._lease = LeaseObject(client, namespace=namespace, name=name)
        self._holder = holder
        self._every = every.total_seconds()
        self._now = now
        self._known: V1Lease | None = None
        self.renewed_at: datetime | None = None
        """When it was last renewed."""

    async def keep(self) -> None:
        """Renew it for ever; what fails is tried again with backoff."""
        await asyncio.sleep(random.uniform(0, self._every))  # noqa: S311 - spreads load, keeps no secret
        delays = iter(self._delays())
        failed = False
        while True:
            try:
                await self.renew()
            except (ApiException, LeaseChangedError, UnavailableError) as error:
                level = logging.DEBUG if failed else logging.WARNING
                _logger.log(level, "%s: %s; trying on", self._lease, _said(error))
                failed = True
                await asyncio.sleep(next(delays))
            else:
                if failed:
                    _logger.info("%s: renewed again", self._lease)
                delays, failed = iter(self._delays()), False
                await asyncio.sleep(self._every * random.uniform(1, 1 + _JITTER))  # noqa: S311

    async def renew(self) -> None:
        """Renew it once, or create it.

        Raises:
            UnavailableError: There was no answer.
            kubernetes.aio.client.ApiException: Refused.
        """
        try:
            self._known = await self._written(self._known)
        except LeaseChangedError:
            self._known = await self._written(None)
        self.renewed_at = self._known.spec.renew_time

    async def _written(self, known: V1Lease | None) -> V1Lease:
        known = known or await self._lease.read()
        if known is None:
            return await self._lease.write(self._spec(None), None)
        return await self._lease.write(self._spec(known.spec), known.metadata)

    def _spec(self, before: V1LeaseSpec | None) -> V1LeaseSpec:
        """A new holder counts as a transition, the first one does not."""
        now = micro_time(self._now())
        same = before is not None and before.holder_identity == self._holder
        transitions = before.lease_transitions or 0 if before is not None else 0
        return V1LeaseSpec(
            holder_identity=self._holder,
            lease_duration_seconds=int(DURATION.total_seconds()),
            acquire_time=before.acquire_time if before is not None and same else now,
            renew_time=now,
            lease_transitions=transitions if before is None or same else transitions + 1,
        )

    def _delays(self) -> Backoff:
        return Backoff(first=min(0.5, self._every), most=self._every)


def _said(error: Exception) -> str:
    if isinstance(error, ApiException):
        return f"{error.status} {error.reason}"
    return str(error)
