"""The one place where the operator's decision function is called."""

from collections.abc import Sequence
from datetime import datetime

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.decide import Decision, Surroundings, decide


def reconcile(migration: VMMigration, policies: Sequence[MigrationPolicy], *, now: datetime) -> Decision:
    """What the operator would decide of a migration that is alone in its cluster."""
    nodes = (migration.spec.source_node, migration.spec.target_node)
    around = Surroundings(policies=policies, nodes=nodes, namespace_labels={})
    return decide(migration, around, now=now)
