"""Reconciling policies: say in their status whether they can be carried out, and how much they steer."""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from kubernetes.aio.client import ApiException

from vmferry_api.conditions import ConditionType, Status, condition
from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy, MigrationPolicyStatus
from vmferry_kube.errors import ConflictError
from vmferry_kube.keys import ObjectKey
from vmferry_kube.migrations import StatusWriter
from vmferry_operator.decisions.select import unreadable_message
from vmferry_operator.store import Store

_logger = logging.getLogger(__name__)


class PolicyController:
    """Reconciles one policy at a time.

    Args:
        status: Writes to the API server.
        migrations: What was seen of them.
        policies: What was seen of them.
        now: The time.
    """

    def __init__(
        self,
        status: StatusWriter,
        *,
        migrations: Store[VMMigration],
        policies: Store[MigrationPolicy],
        now: Callable[[], datetime],
    ) -> None:
        self._status = status
        self._migrations = migrations
        self._policies = policies
        self._now = now

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Make the policy's status as it should be.

        Raises:
            ConflictError: Not done; what was in the way has been taken in.
        """
        policy = self._policies.get(key)
        if policy is None:
            return None
        status = policy_status(policy, self._migrations.all(), now=self._now())
        if status == policy.status:
            return None
        try:
            self._policies.take(await self._status.apply_policy(policy.metadata, status.as_json()))
        except ConflictError as error:
            self._policies.take(error.found)
            raise
        except ApiException as error:
            if error.status != 404:  # noqa: PLR2004 - deleted meanwhile; the watch tells
                raise
        return None


def policy_status(
    policy: MigrationPolicy, migrations: Iterable[VMMigration], *, now: datetime
) -> MigrationPolicyStatus:
    """The status as it should be."""
    name, generation = policy.metadata.name, policy.metadata.generation
    reason, message = "Accepted", "can be carried out"
    if policy.unreadable:
        reason, message = "Unreadable", unreadable_message(f"MigrationPolicy {name}", policy.unreadable)
    holds = not policy.unreadable
    told = {ConditionType.ACCEPTED: holds, ConditionType.READY: holds}
    if not holds:  # for kstatus: no waiting mends it
        told[ConditionType.STALLED] = True
    conditions = [
        condition(
            policy.status.conditions, type_, Status.of(true), reason, message, now=now, generation=generation
        )
        for type_, true in told.items()
    ]
    return MigrationPolicyStatus(
        observed_generation=generation,
        conditions=conditions,
        active=sum(1 for each in migrations if _is_steered_by(each, name)),
    )


def _is_steered_by(migration: VMMigration, policy: str) -> bool:
    status = migration.status
    running = status.phase is not None and not status.is_over
    return running and status.policy is not None and status.policy.name == policy
