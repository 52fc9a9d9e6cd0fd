"""Why a migration stands where it stands, in one word for a column of `kubectl get`."""

from collections.abc import Iterable

from vmferry_api.conditions import MIGRATING, Condition, ConditionType, Status, find_condition
from vmferry_api.migrations import Phase, VMMigration
from vmferry_operator.decisions.conclude import cancel_wanted

CANCELLING = "Cancelling"


def in_one_word(migration: VMMigration, phase: Phase, conditions: Iterable[Condition]) -> str | None:
    """The reason of the condition that matters most: of its end, of what is stuck, waited for or stalls.

    Args:
        migration: The migration as last seen, with the agents' conditions.
        phase: Its phase as decided.
        conditions: The operator's, as decided.
    """
    own = list(conditions)
    if phase.terminal:
        return _reason(own, ConditionType.COMPLETE, Status.TRUE, Status.FALSE)
    going_on = _reason(own, ConditionType.STALLED) or _reason(own, ConditionType.RECONCILING)
    if going_on != MIGRATING:
        return going_on
    if cancel_wanted(migration):
        return CANCELLING
    return _reason(migration.status.conditions, ConditionType.MIGRATION_STALLING) or going_on


def _reason(conditions: Iterable[Condition], type_: ConditionType, *statuses: Status) -> str | None:
    """The reason of a condition, if it has one of these statuses (True, unless others are given)."""
    found = find_condition(conditions, type_)
    return found.reason if found is not None and found.status in (statuses or (Status.TRUE,)) else None
