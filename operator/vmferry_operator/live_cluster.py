"""The cluster as the operator has last seen it, kept until something changes in it that counts for others."""

from collections.abc import Callable, Iterable

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.keys import ObjectKey
from vmferry_operator.decisions.cluster import Cluster
from vmferry_operator.decisions.occupancy import standing


class LiveCluster:
    """Follows the migrations that run or wait; reports of their progress change nothing.

    Args:
        policies: Gives all policies.
    """

    def __init__(self, policies: Callable[[], Iterable[MigrationPolicy]]) -> None:
        self._policies = policies
        self._live: dict[ObjectKey, VMMigration] = {}
        self._now: Cluster | None = None

    def now(self) -> Cluster:
        """What decisions are made over."""
        if self._now is None:
            self._now = Cluster(self._live.values(), self._policies())
        return self._now

    def migration_changed(self, key: ObjectKey, new: VMMigration | None) -> bool:
        """Take in what a migration has become; whether others are concerned."""
        old = self._live.pop(key, None)
        after = standing(new) if new is not None else None
        if new is not None and after is not None:
            self._live[key] = new
        if after == (standing(old) if old is not None else None):
            return False
        self._now = None
        return True

    def policies_changed(self) -> None:
        """Take in that a policy has changed, come or gone."""
        self._now = None
