"""A Lease that tells that a process lives, renewed as the kubelet renews its node's."""

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
"""The Lease of the operator."""


def agent_lease_name(node: str) -> str:
    """The Lease of the agent of a node."""
    return f"vmferry-agent-{node}"


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
        self._api = CoordinationV1Api(client)
        self._namespace = namespace
        self._name = name
        self._holder = holder
        self._every = every.total_seconds()
        self._now = now
        self._known: V1Lease | None = None
        self.renewed_at: datetime | None = None
        """When it was last renewed."""

    async def keep(self, *, at_once: bool = False) -> None:
        """Renew it for ever; what fails is tried again with backoff.

        Args:
            at_once: Don't wait with the first renewal, as those must of whom there are many.
        """
        if not at_once:
            await asyncio.sleep(random.uniform(0, self._every))  # noqa: S311 - spreads load, keeps no secret
        delays = iter(self._delays())
        failed = False
        while True:
            try:
                await self.renew()
            except (ApiException, UnavailableError) as error:
                level = logging.DEBUG if failed else logging.WARNING
                _logger.log(level, "Lease %s/%s: %s; trying on", self._namespace, self._name, _said(error))
                failed = True
                await asyncio.sleep(next(delays))
            else:
                if failed:
                    _logger.info("Lease %s/%s: renewed again", self._namespace, self._name)
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
        except ApiException as error:
            if error.status not in {_CONFLICT, _NOT_FOUND}:
                raise
            self._known = await self._written(None)  # somebody else has written or removed it since
        self.renewed_at = self._known.spec.renew_time

    async def _written(self, known: V1Lease | None) -> V1Lease:
        known = known or await self._read()
        if known is None:
            body = V1Lease(metadata=V1ObjectMeta(name=self._name), spec=self._spec(None))
            with asking():
                return await self._api.create_namespaced_lease(
                    self._namespace, body, _request_timeout=REQUEST_TIMEOUT
                )
        body = V1Lease(metadata=known.metadata, spec=self._spec(known.spec))
        with asking():
            return await self._api.replace_namespaced_lease(
                self._name, self._namespace, body, _request_timeout=REQUEST_TIMEOUT
            )

    async def _read(self) -> V1Lease | None:
        try:
            with asking():
                return await self._api.read_namespaced_lease(
                    self._name, self._namespace, _request_timeout=REQUEST_TIMEOUT
                )
        except ApiException as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    def _spec(self, before: V1LeaseSpec | None) -> V1LeaseSpec:
        """A new holder counts as a transition, the first one does not."""
        now = self._now()
        now = now.replace(microsecond=now.microsecond or 1)  # a MicroTime must have its six digits
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
