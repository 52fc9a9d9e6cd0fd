"""Short ways to write down a migration and a policy for the tables."""

from datetime import UTC, datetime, timedelta

from vmferry_api.conditions import Condition, ConditionType, Status
from vmferry_api.migrations import (
    Applied,
    Attempt,
    Desired,
    Progress,
    SourceReport,
    TargetReport,
    VMMigration,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.policies import MigrationPolicy, MigrationPolicySpec
from vmferry_operator.decisions.plan import begin
from vmferry_operator.decisions.situations import situation

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GIB = 2**30


def after(seconds: float) -> datetime:
    """A moment so long after NOW."""
    return NOW + timedelta(seconds=seconds)


def policy(name: str = "p", **spec: object) -> MigrationPolicy:
    """A policy."""
    return MigrationPolicy.model_validate({"metadata": {"name": name, "generation": 1}, "spec": spec})


def migration(
    status: VMMigrationStatus | None = None, metadata: dict[str, object] | None = None, **spec: object
) -> VMMigration:
    """A migration of db-1 from node-a to node-b, created NOW."""
    made = VMMigration.model_validate(
        {
            "metadata": {
                "name": "m",
                "namespace": "default",
                "uid": "u",
                "generation": 1,
                "creationTimestamp": NOW,
                **(metadata or {}),
            },
            "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", **spec},
        }
    )
    return made.replace(status=status or VMMigrationStatus())


def vm(state: VMState = VMState.RUNNING, reason: str = "Booted") -> VMReport:
    """A VM as a host reports it."""
    return VMReport(name="db-1", uuid="x", memory=GIB, vcpus=1, state=state, reason=reason)


def source(state: VMState = VMState.RUNNING, reason: str = "Booted") -> SourceReport:
    """The source's report."""
    return SourceReport(vm=vm(state, reason))


def target(*, ready: bool = True, message: str | None = None, seen: VMReport | None = None) -> TargetReport:
    """The target's report."""
    return TargetReport(ready=ready, message=message, connect_uri="qemu+tls://b/system", vm=seen)


def first_desired(spec: MigrationPolicySpec) -> Desired:
    """What a migration starts with."""
    return begin(spec, None, [], situation(migration(VMMigrationStatus(source=source()))), now=NOW)


def waiting(status: VMMigrationStatus | None = None) -> VMMigrationStatus:
    """The status of a migration whose hosts have been in the way since NOW."""
    told = [
        Condition(type=type_, status=Status.UNKNOWN, reason="WaitingForAgent", last_transition_time=NOW)
        for type_ in (ConditionType.ACCEPTED, ConditionType.TARGET_READY)
    ]
    return (status or VMMigrationStatus()).replace(conditions=told, waiting_since=NOW)


def running(
    *, stalling_since: float | None = None, memory_pass: int = 3, applied: int = 0, **status: object
) -> VMMigrationStatus:
    """The status of a migration whose attempt began NOW."""
    stalling = Condition(
        type=ConditionType.MIGRATION_STALLING,
        status=Status.of(stalling_since is not None),
        reason="NotConverging",
        last_transition_time=after(stalling_since or 0),
    )
    progress = Progress(
        percent=90,
        memory_pass=memory_pass,
        remaining=0,
        transferred=0,
        total=GIB,
        needed_downtime=timedelta(seconds=1.28),
        elapsed=timedelta(seconds=20),
    )
    made = VMMigrationStatus(
        source=source(),
        target=target(),
        attempts=[Attempt(number=1, start=NOW)],
        progress=progress,
        conditions=[stalling],
        applied=Applied(revision=applied, attempt=1, time=NOW) if applied else None,
    )
    return made.replace(**status)
