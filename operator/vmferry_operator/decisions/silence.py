"""Whether an agent that owes a report has fallen silent, and whether one that owes none lives at all.

The time of its last report is that of its field manager in metadata.managedFields, which the API server sets
whenever a write has changed something. So it costs no field and no write, it is the same for an operator that has
just started, and no node's clock counts: only the API server's and the operator's are compared. Of an agent that
has nothing to report, its Lease tells; its time is taken from there, too. Nothing is decided by either: it is
told, so that somebody looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import VMMigration
from vmferry_api.owners import SOURCE_AGENT, TARGET_AGENT

OVERDUE = timedelta(seconds=30)
"""So long after its last report an agent counts as silent, with room for a write that had to be tried again and
for the two clocks; or so many times the interval at which it is to report, if that is more."""
OVERDUE_IN_REPORTS = 5
LOOK_AT_LEASES = timedelta(seconds=10)
"""Between two looks at the Leases of agents that something depends on; so often they are renewed."""
KEPT = timedelta(seconds=20)
"""A Lease that was renewed so lately shows that its agent runs: an answer may be some seconds old."""
_AHEAD = timedelta(minutes=1)
"""By more than this no clock is ahead of the one that judges."""


def last_written(times: Iterable[datetime], *, now: datetime) -> datetime | None:
    """When an object was written last; None: that is not told.

    Args:
        times: Those in its metadata.managedFields. The API server sets the writer's own, but takes any that it
            adds in another's name, so that one that is yet to come counts for nothing.
        now: The time.
    """
    return max((each for each in times if each - now <= _AHEAD), default=None)


@dataclass(frozen=True, kw_only=True)
class AgentLease:
    """The Lease of a node's agent, as it was read."""

    renewed: datetime
    """When it was last written, by the API server's clock."""
    lasts: timedelta
    """It has lapsed if it is not renewed for so long."""

    def lapsed(self, now: datetime) -> bool:
        """Whether its holder counts as gone."""
        return now - self.renewed >= self.lasts

    def kept(self, now: datetime) -> bool:
        """Whether its holder is known to live."""
        return now - self.renewed < KEPT


Leases = Mapping[str, AgentLease]
"""By node; of a node that is not among them nothing is known."""


@dataclass(frozen=True, kw_only=True)
class LastReport:
    """When an agent was heard of last."""

    node: str
    heard: datetime
    overdue_at: datetime
    """It is silent if nothing is heard by then."""

    def silent(self, leases: Leases, now: datetime, *, has_said_why: bool) -> bool:
        """Whether its agent counts as silent.

        Args:
            leases: What is known of the agents' Leases.
            now: The time.
            has_said_why: It has said that its libvirt is away: then it has no news while that is so, and is silent
                only where it is not known to have its Lease any more.
        """
        lease = leases.get(self.node)
        lives = lease is not None and not lease.lapsed(now)
        return self.overdue_at <= now and not (has_said_why and lives)

    def words(self, leases: Leases, now: datetime) -> str:
        """What to tell of one that is silent; its Lease says which of the two questions is the one to ask."""
        since = f"the agent of {self.node} has reported nothing since {self.heard:%H:%M:%S} UTC"
        lease = leases.get(self.node)
        if lease is not None and lease.kept(now):
            return f"{since}, though it keeps its Lease: it runs; does its libvirt answer?"
        if lease is not None and lease.lapsed(now):
            return f"{since}, and {_lapsed(self.node, lease)}"
        return f"{since}; is it running there, and does its libvirt answer?"


def nodes_in_question(migration: VMMigration, last: LastReport | None, *, now: datetime) -> Sequence[str]:
    """The nodes whose agents' Leases matter now.

    Args:
        migration: The migration.
        last: The last report of the agent that owes the next one.
        now: The time.
    """
    attempts = migration.status.attempts
    if migration.status.is_over or not attempts:
        return []
    if is_true(migration.status.conditions, ConditionType.POST_COPY_INTERRUPTED):
        return [migration.spec.source_node, migration.spec.target_node]
    return [last.node] if last is not None and last.overdue_at <= now else []


def silent_nodes(migration: VMMigration, leases: Leases, *, now: datetime) -> Sequence[str]:
    """Those of the two nodes whose agents have let their Leases lapse."""
    nodes = (migration.spec.source_node, migration.spec.target_node)
    return [node for node in nodes if node in leases and leases[node].lapsed(now)]


def silence_of(node: str, leases: Leases) -> str:
    """What to tell of a node whose agent has let its Lease lapse."""
    return f"the agent of {node} has been silent: {_lapsed(node, leases[node])}"


def _lapsed(node: str, lease: AgentLease) -> str:
    return (
        f"its Lease has not been renewed since {lease.renewed:%H:%M:%S} UTC: {node} may have lost its power or "
        "its network"
    )


def last_report(migration: VMMigration, agent: str | None, *, now: datetime) -> LastReport | None:
    """The last report of an agent that owes the next one; None: nothing is known of it, or nothing is owed.

    Args:
        migration: The migration.
        agent: Its field manager. The target's owes a look at what the source's has reported, and nothing before.
        now: The time.
    """
    owed_by = {SOURCE_AGENT: [SOURCE_AGENT], TARGET_AGENT: [SOURCE_AGENT, TARGET_AGENT]}.get(agent or "", [])
    times = [
        each.time
        for each in migration.metadata.managed_fields
        if each.manager in owed_by and each.time is not None
    ]
    heard = last_written(times, now=now)
    if heard is None:
        return None
    desired = migration.status.desired
    every = desired.report_every if desired is not None else timedelta(0)
    node = migration.spec.source_node if agent == SOURCE_AGENT else migration.spec.target_node
    return LastReport(node=node, heard=heard, overdue_at=heard + max(OVERDUE, every * OVERDUE_IN_REPORTS))
