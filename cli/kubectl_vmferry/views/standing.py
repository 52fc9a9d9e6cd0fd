"""Where a migration stands, in a word and in a sentence."""

from datetime import datetime

from kubectl_vmferry.views.figures import downtime, seconds
from vmferry_api.conditions import (
    AGENT_SILENT,
    HYPERVISOR_UNREACHABLE,
    ConditionType,
    Status,
    find_condition,
    true_since,
)
from vmferry_api.migrations import Phase, VMMigration

STYLES = {
    Phase.PENDING: "yellow",
    Phase.RUNNING: "cyan",
    Phase.POST_COPY: "magenta",
    Phase.RECOVERING: "bold red",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "bold red",
    Phase.CANCELLED: "yellow",
}
SOMEBODY_IS_AWAY = {AGENT_SILENT, HYPERVISOR_UNREACHABLE}
"""The reasons why nothing is heard of it."""
NOT_SEEN = "not seen yet by the operator"
_TELLS = (ConditionType.STALLED, ConditionType.RECONCILING, ConditionType.COMPLETE)
"""The conditions that say where it stands; the first one that is there counts."""


def name(migration: VMMigration) -> str:
    """Its namespace and name."""
    metadata = migration.metadata
    return f"{metadata.namespace or 'default'}/{metadata.name}"


def phase(migration: VMMigration) -> str:
    """Its phase, in a word."""
    return str(migration.status.phase or "New")


def style(migration: VMMigration) -> str:
    """The colour of its phase."""
    return STYLES[migration.status.phase] if migration.status.phase else "yellow"


def sentence(migration: VMMigration) -> str:
    """What happens to it, or how it ended, in the operator's words."""
    conditions = migration.status.conditions
    ends = (ConditionType.COMPLETE, *_TELLS) if migration.status.is_over else _TELLS[:2]
    for type_ in ends:
        found = find_condition(conditions, type_)
        if found is not None and found.message:
            return found.message
    return NOT_SEEN if migration.status.phase is None else ""


def reason(migration: VMMigration) -> str:
    """Why it stands there, as one word for programs; empty: nobody has said."""
    conditions = migration.status.conditions
    for type_ in _TELLS:
        found = find_condition(conditions, type_)
        if found is not None and found.status != Status.UNKNOWN:
            return found.reason
    return ""


def stalling(migration: VMMigration, now: datetime) -> str:
    """That it stalls, and for how long; empty: it does not."""
    since = true_since(migration.status.conditions, ConditionType.MIGRATION_STALLING)
    if since is None or migration.status.is_over:
        return ""
    return f"stalling for {seconds(now - since)}"


def downtimes(migration: VMMigration) -> str:
    """The needed and the granted downtime; empty: nothing is reported."""
    progress = migration.status.progress
    if progress is None:
        return ""
    return f"needs {downtime(progress.needed_downtime)}, granted {downtime(progress.max_downtime)}"
