"""Whether an agent that owes a report has fallen silent.

The time of its last report is that of its field manager in metadata.managedFields, which the API server sets
whenever a write has changed something. So it costs no field and no write, it is the same for an operator that has
just started, and no node's clock counts: only the API server's and the operator's are compared. Nothing is decided
by it; it is told, so that somebody looks.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.migrations import VMMigration
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT

OVERDUE = timedelta(seconds=30)
"""So long after its last report an agent counts as silent, with room for a write that had to be tried again and
for the two clocks; or so many times the interval at which it is to report, if that is more."""
OVERDUE_IN_REPORTS = 5


@dataclass(frozen=True, kw_only=True)
class LastReport:
    """When an agent was heard of last."""

    node: str
    heard: datetime
    overdue_at: datetime
    """It is silent if nothing is heard by then."""

    @property
    def words(self) -> str:
        """What to tell of one that is silent."""
        return (
            f"the agent of {self.node} has reported nothing since {self.heard:%H:%M:%S} UTC; is it running there, "
            "and does its libvirt answer?"
        )


def last_report(migration: VMMigration, agent: str | None) -> LastReport | None:
    """The last report of an agent that owes the next one; None: nothing is known of it, or nothing is owed.

    Args:
        migration: The migration.
        agent: Its field manager. The target's owes a look at what the source's has reported, and nothing before.
    """
    owed_by = {SOURCE_AGENT: [SOURCE_AGENT], TARGET_AGENT: [SOURCE_AGENT, TARGET_AGENT]}.get(agent or "", [])
    times = [
        each.time
        for each in migration.metadata.managed_fields
        if each.manager in owed_by and each.time is not None
    ]
    if not times:
        return None
    heard = max(times)
    desired = migration.status.desired
    every = desired.report_every if desired is not None else timedelta(0)
    node = migration.spec.source_node if agent == SOURCE_AGENT else migration.spec.target_node
    return LastReport(node=node, heard=heard, overdue_at=heard + max(OVERDUE, every * OVERDUE_IN_REPORTS))
