"""VMMigration: one live migration of one VM, asked for, decided on and reported in one object."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import Field

from vmferry_api.conditions import Condition
from vmferry_api.durations import Duration, duration_rule
from vmferry_api.moments import AnyMoment, Moment
from vmferry_api.names import Name, object_name_rule, vm_name_rule
from vmferry_api.objects import ApiObject
from vmferry_api.policies import (
    MAX_DOWNTIME,
    Bandwidth,
    DowntimeRamp,
    PostCopyRecovery,
    StartOptions,
    Timeout,
)
from vmferry_api.quantities import Quantity
from vmferry_api.schemas import ApiModel, Rule, rules

Text = Annotated[str, Field(max_length=4096)]
HIGHEST_ATTEMPT = 1_000_000
"""More than one migration comes to in years: what follows the highest number must be a number, too."""
LONGEST_ERRORS = 2**17
"""Bytes of the errors of all attempts together; a hundred of libvirt's longest (1 KiB) fit. An object has 1.5 MiB
at most, and what agents may fill of that must leave room for what the operator writes."""


class PolicyRef(ApiModel):
    """A MigrationPolicy by name."""

    name: Name = Field(
        description="The policy's name.",
        json_schema_extra=rules(object_name_rule("policyRef.name", example="post-copy")),
    )


class PolicyOverrides(ApiModel):
    """Single tunables over the policy's, for this migration only."""

    max_downtime: Duration | None = Field(
        default=None,
        description="In the place of the policy's maxDowntime, which is the downtime granted at first: steps "
        "may raise it. With an objective: of objective.maxDowntime, which nothing exceeds in pre-copy. With "
        "agentDowntimeRamp: of the ramp, which is then left out.",
        json_schema_extra=rules(duration_rule("maxDowntime", least="1ms", most=MAX_DOWNTIME, example="1s")),
    )
    bandwidth: Bandwidth | None = Field(
        default=None, description="Each field that is given: in the place of the policy's."
    )
    stalling_limit: Duration | None = Field(
        default=None,
        description="In the place of the policy's stallingLimit.",
        json_schema_extra=rules(duration_rule("stallingLimit")),
    )
    progress_timeout: Duration | None = Field(
        default=None,
        description="In the place of the policy's progressTimeout.",
        json_schema_extra=rules(duration_rule("progressTimeout", example="150s")),
    )
    timeout: Timeout | None = Field(
        default=None, description="In the place of the policy's timeout, as a whole."
    )
    queue_priority: int | None = Field(
        default=None, description="In the place of the policy's queuePriority.", ge=-1000, le=1000
    )


def _immutable(field: str) -> Rule:
    return Rule(
        rule="self == oldSelf",
        message=f"{field} is immutable; create another VMMigration instead",
    )


class Storage(StrEnum):
    """Where the disks of a VM are, and what becomes of them.

    Shared does not switch libvirt's own check off (VIR_MIGRATE_UNSAFE), though the user has said so: it is the
    default, so that nobody may have said anything, and a file of the same name that is another one would be taken
    for the disk. Who knows better than libvirt tells libvirt, for the host, in qemu.conf.
    """

    SHARED = "Shared"
    COPY_ALL = "CopyAll"
    COPY_INCREMENTAL = "CopyIncremental"


class VMMigrationSpec(ApiModel):
    """Which VM is to move, from where to where. Immutable but for policyRef, overrides and cancel."""

    object_rules: ClassVar = (
        Rule(
            rule="self.sourceNode != self.targetNode",
            message="targetNode must differ from sourceNode",
            field_path=".targetNode",
        ),
        Rule(
            rule="!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)",
            message="cancel can't be taken back; create another VMMigration instead",
            field_path=".cancel",
        ),
        Rule(
            rule="has(self.storage) == has(oldSelf.storage)",
            message="storage is immutable; create another VMMigration instead",
        ),
        Rule(
            rule="has(self.ttlAfterFinished) == has(oldSelf.ttlAfterFinished)",
            message="ttlAfterFinished is immutable; create another VMMigration instead",
        ),
    )

    vm: Name = Field(
        description="The libvirt domain on sourceNode, by its name or UUID.",
        json_schema_extra=rules(vm_name_rule("vm"), _immutable("vm")),
    )
    source_node: Name = Field(
        description="The Node where the VM runs.",
        json_schema_extra=rules(object_name_rule("sourceNode", example="node-a"), _immutable("sourceNode")),
    )
    target_node: Name = Field(
        description="The Node where it is to run.",
        json_schema_extra=rules(object_name_rule("targetNode", example="node-b"), _immutable("targetNode")),
    )
    policy_ref: PolicyRef | None = Field(
        default=None, description="The policy for this migration, whatever else would select one."
    )
    overrides: PolicyOverrides | None = Field(default=None, description="Single tunables over the policy's.")
    storage: Storage = Field(
        default=Storage.SHARED,
        description="Shared: both nodes see the same disks. libvirt itself refuses a disk that is written to on "
        "a file system that it does not know as shared, and a cache mode that is unsafe there: a cluster file "
        "system that it does not know is named in shared_filesystems in qemu.conf (newer libvirt). CopyAll: the "
        "disks are on sourceNode and are copied whole, before the memory, all that are neither read-only nor "
        "shareable; targetNode needs a running storage pool of their directory with room for them, or the files. "
        "CopyIncremental: only what differs from a backing file that both nodes have; targetNode needs the files.",
        json_schema_extra=rules(_immutable("storage")),
    )
    cancel: bool = Field(
        default=False,
        description="true aborts; the VM stays on its source. In post-copy, which nothing can abort, it waits "
        "for the end. Deleting the object does the same.",
    )
    ttl_after_finished: Duration | None = Field(
        default=None,
        description="The object is deleted so long after the migration ended. Absent: never.",
        json_schema_extra=rules(
            duration_rule("ttlAfterFinished", most="8760h", example="24h"), _immutable("ttlAfterFinished")
        ),
    )


class Phase(StrEnum):
    """Where a migration stands. The last three are terminal: written once, never changed."""

    PENDING = "Pending"
    RUNNING = "Running"
    POST_COPY = "PostCopy"
    RECOVERING = "Recovering"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def terminal(self) -> bool:
        """Whether the migration is over."""
        return self in {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}


class AppliedPolicy(ApiModel):
    """The policy in force, and why it is this one."""

    name: str = Field(description="Its name; `(built-in)`: the built-in default.", max_length=253)
    generation: int | None = Field(default=None, description="Its metadata.generation.", ge=0)
    policy_ref: str | None = Field(
        default=None,
        description="spec.policyRef.name when it was selected: an attempt keeps its policy unless that is "
        "changed.",
        max_length=253,
    )
    why: Text = Field(default="", description="Why this one, and why not the others.")


class VMState(StrEnum):
    """The state of a domain, in libvirt's words; Absent where libvirt knows none."""

    RUNNING = "Running"
    PAUSED = "Paused"
    SHUT_OFF = "ShutOff"
    CRASHED = "Crashed"
    OTHER = "Other"
    """None of these, or a newer agent's word."""
    ABSENT = "Absent"

    @classmethod
    def _missing_(cls, _value: object) -> "VMState":
        return cls.OTHER


class VMReport(ApiModel):
    """A VM as one host sees it."""

    name: str | None = Field(default=None, description="The domain's name.", max_length=253)
    uuid: str | None = Field(default=None, description="The domain's UUID.", max_length=36)
    memory: Quantity | None = Field(default=None, description="Its memory, in bytes.")
    vcpus: int | None = Field(default=None, description="The number of its virtual CPUs.", ge=0)
    state: VMState = Field(description="Its state on this host.")
    reason: str | None = Field(
        default=None, description="libvirt's reason for the state, such as Migrated.", max_length=64
    )

    @property
    def in_post_copy(self) -> bool:
        """Whether it is one half of a post-copy that goes on or was interrupted."""
        return (self.reason or "").startswith("PostCopy")

    @property
    def post_copy_failed(self) -> bool:
        """Whether it is one half of a post-copy that libvirt calls interrupted."""
        return self.reason == "PostCopyFailed"


class Disk(ApiModel):
    """A file or device that is a disk of a VM."""

    path: str = Field(description="Its path.", max_length=1024)
    copied: bool = Field(
        description="Whether copying the storage includes it: it is neither read-only nor shareable. What is not "
        "copied must be there on the target in any case."
    )
    size: Quantity | None = Field(
        default=None, description="Bytes that it takes on its source, and a copy at least."
    )


class Hardware(ApiModel):
    """What a VM needs of the host that it comes to."""

    type: str = Field(description="How its processor is run: kvm, or qemu (emulated).", max_length=32)
    arch: str = Field(description="Its architecture, such as x86_64.", max_length=32)
    machine: str | None = Field(default=None, description="Its machine type.", max_length=64)
    emulator: str | None = Field(default=None, description="The path of its QEMU.", max_length=1024)
    cpu: str | None = Field(
        default=None,
        description="Its processor as libvirt's XML, with the features that the guest really has; absent where "
        "nothing certain is known of them, and where that is too long to be told.",
        max_length=8192,
    )
    disks: list[Disk] = Field(
        default=[],
        description="The files and devices that its disks are, but for those that it can do without.",
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class SourceReport(ApiModel):
    """What the source node's agent sees."""

    vm: VMReport | None = Field(default=None, description="The VM on the source.")
    hardware: Hardware | None = Field(default=None, description="What the VM needs of its target.")
    after_attempt: int = Field(
        default=0,
        description="The last attempt that had ended when the agent looked at the VM; 0: none.",
        ge=0,
    )
    unreachable: bool = Field(
        default=False,
        description="libvirt can't be asked; `message` has its word. What else is told here was known before.",
    )
    message: Text | None = Field(default=None, description="Why the VM can't leave, for people.")
    libvirt_version: str | None = Field(default=None, description="Of the source host.", max_length=32)
    qemu_version: str | None = Field(default=None, description="Of the source host.", max_length=32)
    features: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None, description="What the host can really do.", max_length=64
    )
    dirty_rate: Quantity | None = Field(
        default=None,
        description="How fast the guest writes, in bytes per second, by a sample of its pages in one second "
        "before the start. Absent where the host can't measure it, or the start came first.",
    )


class TargetReport(ApiModel):
    """What the target node's agent sees."""

    ready: bool = Field(description="Whether the VM can come.")
    connect_uri: str | None = Field(
        default=None,
        alias="connectURI",
        description="How the source's libvirt daemon reaches the target's.",
        max_length=1024,
    )
    migration_uri: str | None = Field(
        default=None,
        alias="migrationURI",
        description="Where the target's QEMU listens; without a port libvirt chooses one.",
        max_length=1024,
    )
    tls_destination: str | None = Field(
        default=None,
        alias="tlsDestination",
        description="The name that the certificate of the target's QEMU holds; absent: the host in migrationURI.",
        max_length=253,
    )
    vm: VMReport | None = Field(default=None, description="The VM on the target.")
    after_attempt: int = Field(
        default=0, description="The last attempt that had ended when the agent looked; 0: none.", ge=0
    )
    libvirt_version: str | None = Field(default=None, description="Of the target host.", max_length=32)
    qemu_version: str | None = Field(default=None, description="Of the target host.", max_length=32)
    features: list[Annotated[str, Field(max_length=64)]] | None = Field(
        default=None, description="What the host can really do.", max_length=64
    )
    free_memory: Quantity | None = Field(default=None, description="Of the target host, in bytes.")
    unreachable: bool = Field(
        default=False,
        description="libvirt can't be asked; `message` has its word. What else is told here was known before.",
    )
    message: Text | None = Field(default=None, description="Why it isn't ready, for people.")


class DesiredState(StrEnum):
    """What the operator wants of the agent."""

    MIGRATE = "Migrate"
    ABORT = "Abort"


class MigrationTechnique(StrEnum):
    """How memory is moved."""

    PRE_COPY = "PreCopy"
    POST_COPY = "PostCopy"


class Desired(ApiModel):
    """The parameters that the operator wants in force; the agent makes them so."""

    object_rules: ClassVar = (
        Rule(
            rule="self.revision >= oldSelf.revision",
            message="desired.revision must not go back",
            field_path=".revision",
        ),
    )

    revision: int = Field(description="Grows by one whenever anything here changes.", ge=1)
    state: DesiredState = Field(description="Migrate, or Abort: the VM stays on its source.")
    attempt: int = Field(description="The number of the start in libvirt that is wanted.", ge=1)
    technique: MigrationTechnique = Field(description="PostCopy: switch over to it in flight.")
    post_copy_allowed: bool = Field(
        default=False, description="Start so that post-copy stays possible (VIR_MIGRATE_POSTCOPY)."
    )
    suspend: bool = Field(default=False, description="Pause the guest until it has moved.")
    max_downtime: Duration | None = Field(default=None, description="The downtime that QEMU may take.")
    agent_downtime_ramp: DowntimeRamp | None = Field(
        default=None, description="The agent raises the downtime by itself."
    )
    bandwidth: Quantity | None = Field(default=None, description="In pre-copy, in bytes per second.")
    share: Quantity | None = Field(
        default=None,
        description="This migration's share of its nodes' bandwidth (bandwidth.perNode), in bytes per second; "
        "in pre-copy the lower of it and `bandwidth` holds.",
    )
    post_copy_bandwidth: Quantity | None = Field(
        default=None, description="In post-copy, in bytes per second."
    )
    start: StartOptions | None = Field(default=None, description="What QEMU fixes at the start.")
    compression_cache: Quantity | None = Field(
        default=None,
        description="XBZRLE's cache, in bytes; unlike the rest of `start` it can be changed in flight. Absent: as "
        "the attempt was started.",
    )
    post_copy_recovery: PostCopyRecovery | None = Field(
        default=None, description="How an interrupted post-copy is recovered."
    )
    stalling_limit: Duration = Field(description="When to report stalling; 0s: never.")
    progress_timeout: Duration = Field(description="When to abort for want of progress; 0s: never.")
    timeout: Duration | None = Field(default=None, description="When to abort in any case.")
    report_every: Duration = Field(
        default=timedelta(seconds=2), description="Progress is reported no oftener than this."
    )
    reason: Text = Field(default="", description="Why this revision, for people.")
    time: Moment | None = Field(default=None, description="When this revision was decided.")


class ApplyError(ApiModel):
    """A parameter that the host refused."""

    parameter: str = Field(description="The field of `desired`.", max_length=64)
    message: Text = Field(description="What libvirt said, with its code.")


class Applied(ApiModel):
    """What is in force on the source host."""

    revision: int = Field(description="The revision of `desired` that was carried out.", ge=0)
    attempt: int = Field(description="The attempt that it was carried out in.", ge=0)
    time: Moment = Field(description="When.")
    errors: list[ApplyError] = Field(default=[], description="What the host refused of it.", max_length=16)


class PassRecord(ApiModel):
    """What one pass over the memory has shown."""

    memory_pass: int = Field(alias="pass", description="The pass.", ge=1)
    elapsed: Duration = Field(description="When it began, since the attempt began.")
    needed_downtime: Duration = Field(description="The needed downtime as of its start.")
    pending: Quantity | None = Field(
        default=None,
        description="Bytes that switch-over would have had to move, as of its start; unlike the needed downtime "
        "it does not change with the link.",
    )


class DiskProgress(ApiModel):
    """How far the copy of the disks is."""

    total: Quantity = Field(description="Bytes to copy.")
    transferred: Quantity = Field(description="Bytes copied.")
    remaining: Quantity = Field(description="Bytes left.")


class Progress(ApiModel):
    """The source agent's figures, from libvirt's job statistics."""

    percent: int = Field(
        description="Of memory and copied disks; never falls within an attempt.", ge=0, le=100
    )
    memory_pass: int = Field(
        alias="pass", description="The pass over the memory; 1 is the first, full one.", ge=0
    )
    remaining: Quantity = Field(description="Bytes left in this pass.")
    pending: Quantity | None = Field(
        default=None, description="Bytes that switch-over would have to move, as of the start of the pass."
    )
    transferred: Quantity = Field(description="Bytes sent since the attempt began.")
    total: Quantity = Field(description="The guest's memory as QEMU counts it.")
    dirty_rate: Quantity | None = Field(
        default=None,
        description="How fast the guest writes, in bytes per second; no more than the link carries.",
    )
    bandwidth: Quantity | None = Field(
        default=None, description="What the link carries, in bytes per second."
    )
    needed_downtime: Duration | None = Field(
        default=None, description="How long the guest would stop if it switched over now (from pass 2 on)."
    )
    max_downtime: Duration | None = Field(
        default=None, description="The downtime limit that the agent has set in QEMU."
    )
    throttle: int | None = Field(default=None, description="Auto-converge's, in percent.", ge=0, le=99)
    disk: DiskProgress | None = Field(default=None, description="Of the disks, where they are copied.")
    elapsed: Duration = Field(description="Since the attempt began.")
    recent: list[PassRecord] = Field(
        default=[],
        description="How the needed downtime has changed: the second pass, which shows how long the first one "
        "took, and the last ones.",
        max_length=12,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Forecast(ApiModel):
    """What is to be expected."""

    converges: bool = Field(description="Whether it ends within the downtime that may be granted.")
    floor: Duration | None = Field(default=None, description="The needed downtime that it tends to.")
    completion: Moment | None = Field(default=None, description="When it will end, if it does.")
    next_action: str | None = Field(
        default=None, description="What will be done if it goes on like this.", max_length=512
    )
    next_time: Moment | None = Field(default=None, description="When.")
    why: Text = Field(default="", description="From which figures.")


class Queue(ApiModel):
    """Why a migration that could start has to wait for its turn."""

    position: int = Field(
        description="Its place among those that wait, from 1; beyond 20 rounded up to tens.", ge=1
    )
    priority: int = Field(
        default=0, description="Its queuePriority; each point counts as a minute of waiting."
    )
    since: Moment = Field(description="Since when it has waited for its turn.")
    waiting_for: str = Field(
        description="What is full: perCluster, outgoingPerNode, incomingPerNode, or vm (another migration of "
        "the VM).",
        max_length=64,
    )
    message: Text = Field(default="", description="In words, with the limit and the policy that sets it.")


class StepRecord(ApiModel):
    """A step that was taken."""

    time: Moment = Field(description="When it was decided.")
    attempt: int | None = Field(default=None, description="The attempt in which it was taken.", ge=1)
    step: int | None = Field(
        default=None, description="Its place in the policy's list, from 1, when it was taken.", ge=1
    )
    trigger: str = Field(description="What it was due by, with the value.", max_length=512)
    action: str = Field(description="What was done, with the value.", max_length=512)
    value: str | None = Field(
        default=None,
        description="The value alone, for programs: a duration, a quantity, or start options as JSON.",
        max_length=512,
    )
    revision: int = Field(description="The revision of `desired` that carries it.", ge=1)
    effective: Moment | None = Field(default=None, description="When the host had carried it out.")
    outcome: str = Field(
        default="Pending", description="Pending, Applied, or Failed with what the host said.", max_length=1024
    )


class AttemptOutcome(StrEnum):
    """How an attempt ended."""

    COMPLETED = "Completed"
    ABORTED = "Aborted"
    CANCELLED = "Cancelled"
    FAILED = "Failed"
    RESTARTED = "Restarted"
    """Given up for another attempt with other start options; no failure."""

    @classmethod
    def _missing_(cls, _value: object) -> "AttemptOutcome":
        """A newer agent's word: it has ended, and where the VM is by now both hosts tell."""
        return cls.FAILED


class Attempt(ApiModel):
    """One start of the migration in libvirt."""

    number: int = Field(description="From 1.", ge=1, le=HIGHEST_ATTEMPT)
    start: AnyMoment = Field(description="When it began.")
    end: Moment | None = Field(default=None, description="When it ended.")
    outcome: AttemptOutcome | None = Field(default=None, description="How it ended.")
    error: Text | None = Field(default=None, description="What went wrong, or why it was given up.")
    downtime: Duration | None = Field(default=None, description="How long the guest really stopped.")
    transferred: Quantity | None = Field(default=None, description="Bytes sent.")
    interrupted: Duration | None = Field(
        default=None,
        description="How long nothing flowed in interruptions of post-copy, in all: so long the guest stood still "
        "wherever it needed a page. Absent: there was none, or the first one lasts.",
    )
    suspended: bool = Field(
        default=False,
        description="The agent has paused the guest for this attempt, and lets it run again where it stays.",
    )


class Recovery(ApiModel):
    """An interruption of post-copy, and what was done about it."""

    since: Moment = Field(description="When the last memory flowed before it.")
    again: Moment | None = Field(
        default=None,
        description="The same, where it was interrupted again within a minute of its end; absent: it was not.",
    )
    tries: int = Field(default=0, description="How often it was tried to take it up again.", ge=0)
    last_try: Moment | None = Field(default=None, description="When it was tried last.")
    error: Text | None = Field(default=None, description="What libvirt said to that.")
    end: Moment | None = Field(default=None, description="When memory flowed again.")


class VMMigrationStatus(ApiModel):
    """The operator, the source's agent and the target's agent each write their own fields, and no other."""

    observed_generation: int | None = Field(
        default=None,
        description="The generation that the operator has acted on; -1: it has not looked yet.",
        ge=-1,
    )
    phase: Phase | None = Field(default=None, description="Where the migration stands.")
    reason: str | None = Field(
        default=None,
        description="Why it stands there, in one CamelCase word, for people: the reason of the condition that "
        "matters most just now. Programs read the conditions.",
        max_length=64,
    )
    policy: AppliedPolicy | None = Field(default=None, description="The policy in force, and why.")
    source: SourceReport | None = Field(default=None, description="The source agent's report.")
    target: TargetReport | None = Field(default=None, description="The target agent's report.")
    desired: Desired | None = Field(default=None, description="What the operator wants in force.")
    applied: Applied | None = Field(default=None, description="What the source agent has put in force.")
    progress: Progress | None = Field(default=None, description="The source agent's figures.")
    recovery: Recovery | None = Field(
        default=None, description="The last interruption of post-copy, as the source agent has handled it."
    )
    forecast: Forecast | None = Field(default=None, description="What is to be expected.")
    queue: Queue | None = Field(default=None, description="While it waits for its turn.")
    waiting_since: Moment | None = Field(
        default=None,
        description="Since when something has been in the way of a start: hosts, agents or policy, one after the "
        "other; after 15 minutes it fails. Absent: nothing is in the way, or it waits for its turn.",
    )
    steps: list[StepRecord] = Field(
        default=[],
        description="The audit trail: each step that was taken, when and why.",
        max_length=64,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    attempts: list[Attempt] = Field(
        default=[],
        description="Each start in libvirt, and how it ended.",
        max_length=100,
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            **rules(
                Rule(
                    rule="self.map(each, has(each.error) ? size(bytes(each.error)) : 0).sum()"
                    f" <= {LONGEST_ERRORS}",
                    message=f"the errors of all attempts together must not be longer than {LONGEST_ERRORS} bytes",
                )
            ),
        },
    )
    conditions: list[Condition] = Field(
        default=[],
        description="Accepted, TargetReady, Running, MigrationStalling, PostCopyInterrupted, Complete, Failed; "
        "Reconciling and Stalled as kstatus reads them.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )

    @property
    def is_over(self) -> bool:
        """Whether the operator has written the end."""
        return self.phase is not None and self.phase.terminal

    def part(self, *fields: str) -> dict[str, Any]:
        """The JSON of an owner's fields only, without empty lists."""
        json = self.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(fields))
        return {name: value for name, value in json.items() if value != []}


class VMMigration(ApiObject):
    """One live migration of one VM from one libvirt host to another."""

    # Of the whole object, not of the status: a transition rule is not asked when what it belongs to is removed.
    object_rules: ClassVar = (
        Rule(
            rule="!has(oldSelf.status) || !has(oldSelf.status.phase)"
            " || !(oldSelf.status.phase in ['Succeeded', 'Failed', 'Cancelled'])"
            " || (has(self.status) && has(self.status.phase) && self.status.phase == oldSelf.status.phase)",
            message="a terminal phase never changes; create another VMMigration instead",
            field_path=".status.phase",
        ),
        Rule(
            rule="!has(oldSelf.status) || !has(oldSelf.status.desired)"
            " || (has(self.status) && has(self.status.desired))",
            message="desired must not be removed: its revision would start anew",
            field_path=".status.desired",
        ),
    )

    spec: VMMigrationSpec
    status: VMMigrationStatus = VMMigrationStatus()
