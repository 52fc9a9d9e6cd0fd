"""Conditions as Kubernetes' API conventions have them, and the types and reasons that vmferry sets."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from vmferry_api.moments import Moment
from vmferry_api.schemas import ApiModel


class ConditionType(StrEnum):
    """What a condition is about. Polarity: True is good unless said otherwise."""

    ACCEPTED = "Accepted"
    """The object can be carried out as written (both kinds)."""
    TARGET_READY = "TargetReady"
    """The target node's agent has checked its host and found that the VM can come."""
    RUNNING = "Running"
    """A migration job runs in libvirt (set by the source agent)."""
    MIGRATION_STALLING = "MigrationStalling"
    """True is bad: the needed downtime has stopped falling (set by the source agent)."""
    POST_COPY_INTERRUPTED = "PostCopyInterrupted"
    """True is bad: the link broke in post-copy (set by the source agent)."""
    COMPLETE = "Complete"
    """The VM runs on the target and is gone from the source."""
    FAILED = "Failed"
    """True is bad: the migration ended and the VM did not move."""
    READY = "Ready"
    """For kstatus and Flux: a policy is in force, or can be (policies only)."""
    RECONCILING = "Reconciling"
    """For kstatus: work goes on; removed when it is over."""
    STALLED = "Stalled"
    """For kstatus: only a real failure; removed otherwise. Not to be mixed up with MigrationStalling."""


RECOVERY_EXHAUSTED = "RecoveryExhausted"
"""The reason of PostCopyInterrupted once nothing more is tried."""
LINK_SILENT = "LinkSilent"
"""The reason of MigrationStalling, or of PostCopyInterrupted, where nothing flows and no host has noticed."""

# Reasons of Reconciling and Stalled that more than one place knows.
MIGRATING = "Migrating"
"""An attempt runs, in pre-copy."""
QUEUED = "Queued"
"""It waits for its turn."""
RETRY_BACKOFF = "RetryBackoff"
"""A try has failed, and the next one is not due yet."""
AGENT_SILENT = "AgentSilent"
"""An agent owes a report, and none comes."""
HYPERVISOR_UNREACHABLE = "HypervisorUnreachable"
"""An agent says that its libvirt can't be asked."""
VM_FROZEN = "VMFrozen"
"""Half of a VM is left, and nothing that could send it the rest."""


class Status(StrEnum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"

    @classmethod
    def of(cls, holds: object) -> "Status":
        """True or False, by the truth of `holds`."""
        return cls.TRUE if holds else cls.FALSE


class Condition(ApiModel):
    """One aspect of an object's state, as metav1.Condition."""

    type: str = Field(description="What the condition is about.", max_length=64)
    status: Status = Field(description="True, False or Unknown.")
    reason: str = Field(description="Why, as one CamelCase word for programs.", max_length=64)
    message: str = Field(default="", description="Why, for people.", max_length=4096)
    last_transition_time: Moment = Field(description="When the status last changed.")
    observed_generation: int | None = Field(
        default=None, description="The metadata.generation that it was set for.", ge=0
    )


def condition(
    conditions: Iterable[Condition],
    type_: ConditionType,
    status: Status,
    reason: str,
    message: str = "",
    *,
    now: datetime,
    generation: int | None = None,
) -> Condition:
    """A condition that keeps the transition time of the one of its type in `conditions` unless it differs."""
    old = find_condition(conditions, type_)
    since = old.last_transition_time if old and old.status == status else now.replace(microsecond=0)
    return Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=generation,
    )


def find_condition(conditions: Iterable[Condition], type_: ConditionType) -> Condition | None:
    """The condition of this type, if there is one."""
    return next((each for each in conditions if each.type == type_), None)


def is_true(conditions: Iterable[Condition], type_: ConditionType) -> bool:
    """Whether there is a condition of this type with status True."""
    return true_since(conditions, type_) is not None


def true_since(conditions: Iterable[Condition], type_: ConditionType) -> datetime | None:
    """Since when the condition of this type has status True; None: it has not."""
    found = find_condition(conditions, type_)
    return found.last_transition_time if found is not None and found.status == Status.TRUE else None
