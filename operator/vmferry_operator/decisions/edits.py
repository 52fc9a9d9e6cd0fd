"""Who has edited what an attempt goes by: the policy, or somebody the migration."""

from vmferry_api.migrations import VMMigration
from vmferry_operator.decisions.select import Selection

BY_THE_POLICY = "the policy now says so"


def who_says_so(migration: VMMigration, selection: Selection) -> str:
    """Where the parameters come from that differ from those in force; their names are to follow.

    Old overrides are stored nowhere: that the migration was edited, and keeps its policy, tells that it is them.

    Args:
        migration: As it is now, with the status that the last decision has left.
        selection: The policy as it is now.
    """
    before = migration.status.policy
    if before is None:
        return BY_THE_POLICY
    if before.name != selection.name:
        by = "by spec.policyRef" if migration.spec.policy_ref else "with spec.policyRef gone"
        return f"policy {selection.name}, {by}, now says so"
    if migration.status.observed_generation in {None, migration.metadata.generation}:
        return BY_THE_POLICY
    if before.generation != selection.generation:
        return "the policy and spec.overrides now say so"
    if migration.spec.overrides is None:
        return "the policy, with spec.overrides gone, now says so"
    return "spec.overrides now say so"
