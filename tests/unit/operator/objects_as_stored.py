"""The API server's part: an object after its owners have written to it, every time read back from JSON."""

import json

from vmferry_api.migrations import VMMigration, VMMigrationStatus
from vmferry_operator.decisions.decide import OWN_CONDITIONS, OWN_FIELDS, Decision


def written(migration: VMMigration, decision: Decision) -> VMMigration:
    """The migration once the operator has applied its part."""
    theirs = [each for each in migration.status.conditions if each.type not in OWN_CONDITIONS]
    own = {name: getattr(decision.status, name) for name in OWN_FIELDS}
    merged = migration.status.replace(**own, conditions=[*theirs, *decision.status.conditions])
    return stored(migration.replace(status=merged))


def reported(migration: VMMigration, **fields: object) -> VMMigration:
    """The migration once an agent has applied these fields."""
    return stored(migration.replace(status=migration.status.replace(**fields)))


def stored(migration: VMMigration) -> VMMigration:
    """What is read back of it: durations and quantities have been text in between."""
    text = json.dumps(migration.status.as_json())
    return migration.replace(status=VMMigrationStatus.model_validate(json.loads(text)))
