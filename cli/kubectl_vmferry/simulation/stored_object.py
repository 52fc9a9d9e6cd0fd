"""The VMMigration as the API server holds it, each time read back from JSON."""

from collections.abc import Mapping
from typing import Any

from vmferry_api.migrations import TargetReport, VMMigration, VMMigrationStatus
from vmferry_operator.decisions.decide import OWN_CONDITIONS, OWN_FIELDS, Decision

_SOURCE_FIELDS = ("source", "applied", "progress", "attempts")


class StoredMigration:
    """One object with its three owners.

    Args:
        migration: As it was created.
    """

    def __init__(self, migration: VMMigration) -> None:
        self.migration = migration

    @property
    def status(self) -> VMMigrationStatus:
        """Its status."""
        return self.migration.status

    def report(self, source: Mapping[str, Any], target: TargetReport) -> None:
        """Take what the agents say.

        Args:
            source: The source agent's part.
            target: The target agent's.
        """
        told = VMMigrationStatus.model_validate(source)
        operators = [each for each in self.status.conditions if each.type in OWN_CONDITIONS]
        own = {name: getattr(told, name) for name in _SOURCE_FIELDS}
        status = self.status.replace(**own, target=target, conditions=[*operators, *told.conditions])
        self.migration = self.migration.replace(status=status)

    def decide(self, decision: Decision) -> bool:
        """Take what the operator has decided; returns whether that changed anything."""
        before = self.status
        agents = [each for each in before.conditions if each.type not in OWN_CONDITIONS]
        own = {name: getattr(decision.status, name) for name in OWN_FIELDS}
        fields = {**own, "conditions": [*decision.status.conditions, *agents]}
        changed = {name: value for name, value in fields.items() if value != getattr(before, name)}
        if not changed:
            return False
        part = before.replace(**changed).model_dump_json(
            by_alias=True, exclude_none=True, include=set(changed)
        )
        read = VMMigrationStatus.model_validate_json(part)
        after = before.replace(**{name: getattr(read, name) for name in changed})
        self.migration = self.migration.replace(status=after)
        return True
