"""MigrationPolicy: what to do when a live migration does not converge."""

from datetime import timedelta
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from vmferry_api.conditions import Condition
from vmferry_api.durations import PATTERN, Duration, duration_rule
from vmferry_api.names import LabelValue, Name, label_key_rule, label_keys_rule, object_name_rule
from vmferry_api.objective_rules import objective_rules
from vmferry_api.objects import ApiObject
from vmferry_api.quantities import Quantity, in_cel, is_quantity, quantity_rule
from vmferry_api.schemas import ApiModel, Rule, rules
from vmferry_api.start_rules import (
    partial_start_rules,
    restart_changes_rule,
    restart_rules,
    throttle_rule,
    whole_start_rules,
)
from vmferry_api.step_rules import MAX_STEPS, step_rules

MAX_DOWNTIME = "2000s"
"""QEMU's own bound on the downtime limit."""


class Empty(ApiModel):
    """An action without parameters, written as `{}`."""


class SelectorOperator(StrEnum):
    """The operators of a LabelSelector."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelSelectorRequirement(ApiModel):
    """One requirement of a LabelSelector."""

    object_rules: ClassVar = (
        Rule(
            rule="!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            message="In and NotIn need values; give at least one, or use Exists or DoesNotExist",
            field_path=".values",
        ),
        Rule(
            rule="!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
            message="Exists and DoesNotExist take no values; remove them, or use In or NotIn",
            field_path=".values",
        ),
    )

    key: str = Field(
        description="The label's key.", max_length=317, json_schema_extra=rules(label_key_rule("key"))
    )
    operator: SelectorOperator = Field(
        description="How the label's value relates to `values`: it is In them, NotIn them (or there is no such "
        "label), the label Exists, or DoesNotExist."
    )
    values: list[LabelValue] = Field(default=[], description="For In and NotIn.", max_length=64)


class LabelSelector(ApiModel):
    """A selection by labels; all requirements must hold, an empty one selects everything."""

    match_labels: dict[str, LabelValue] = Field(
        default={},
        description="Labels that must have exactly these values.",
        max_length=64,
        json_schema_extra=rules(label_keys_rule("matchLabels")),
    )
    match_expressions: list[LabelSelectorRequirement] = Field(
        default=[], description="Requirements that must all hold.", max_length=64
    )


class PolicySelector(ApiModel):
    """Which migrations a policy is for; every part that is given must match."""

    vms: LabelSelector | None = Field(default=None, description="Labels of the VMMigration.")
    names: list[Name] = Field(
        default=[],
        description="Shell patterns on spec.vm, such as `db-*`; one must match.",
        max_length=64,
    )
    namespaces: LabelSelector | None = Field(
        default=None, description="Labels of the VMMigration's Namespace."
    )


class Concurrency(ApiModel):
    """How many migrations may run at once; the others wait in a queue."""

    outgoing_per_node: int = Field(
        default=2, description="From one source node (oVirt's max_outgoing_migrations).", ge=1, le=1000
    )
    incoming_per_node: int = Field(
        default=2, description="To one target node (oVirt's max_incoming_migrations).", ge=1, le=1000
    )
    per_cluster: int = Field(default=20, description="In the whole cluster.", ge=1, le=100_000)


class Bandwidth(ApiModel):
    """Caps on the migration stream, in bytes per second."""

    object_rules: ClassVar = (
        Rule(
            rule=f"!has(self.perMigration) || !has(self.perNode)"
            f" || !{is_quantity('self.perMigration')} || !{is_quantity('self.perNode')}"
            f" || {in_cel('self.perMigration')}.compareTo({in_cel('self.perNode')}) <= 0",
            message="perMigration must not exceed perNode, of which each migration gets a share; lower it or "
            "remove it",
            field_path=".perMigration",
        ),
    )

    per_migration: Quantity | None = Field(
        default=None,
        description="Of one migration in pre-copy (libvirt's `bandwidth`). Absent: no cap.",
        json_schema_extra=rules(quantity_rule("perMigration")),
    )
    per_node: Quantity | None = Field(
        default=None,
        description="Of all migrations of a node together, each way, shared among those that run.",
        json_schema_extra=rules(quantity_rule("perNode", example="1Gi")),
    )
    post_copy: Quantity | None = Field(
        default=None,
        description="Of one migration in post-copy (libvirt's `bandwidth.postcopy`): the guest waits for "
        "each page that it touches, so keep it high. Absent: no cap.",
        json_schema_extra=rules(quantity_rule("postCopy", example="400Mi")),
    )


class AutoConverge(ApiModel):
    """QEMU slows the guest's CPUs down until it dirties less than the link carries."""

    initial: int = Field(default=20, description="The first throttle, in percent (QEMU: 20).", ge=1, le=99)
    increment: int = Field(default=10, description="Added at each further try, in percent.", ge=1, le=99)


class CompressionMethod(StrEnum):
    """How memory is compressed on its way."""

    XBZRLE = "XBZRLE"
    ZLIB = "Zlib"
    ZSTD = "Zstd"


class Compression(ApiModel):
    """Compression of the migration stream."""

    object_rules: ClassVar = (
        Rule(
            rule="!has(self.cacheSize) || self.method == 'XBZRLE'",
            message="cacheSize is XBZRLE's; remove it, or set method: XBZRLE",
            field_path=".cacheSize",
        ),
    )

    method: CompressionMethod = Field(
        description="XBZRLE sends what changed in a page (QEMU's cache on the source); Zlib and Zstd "
        "compress whole pages and need parallelConnections."
    )
    cache_size: Quantity | None = Field(
        default=None,
        description="XBZRLE's cache in the source host's memory; works best as large as the working set. QEMU "
        "takes powers of two: another value is rounded down to one. An edit acts on running migrations at once, "
        "without a restart. Absent: 64Mi (QEMU's).",
        json_schema_extra=rules(quantity_rule("cacheSize", example="64Mi")),
    )


class Encryption(StrEnum):
    """Whether the migration stream is encrypted."""

    REQUIRED = "Required"
    DISABLED = "Disabled"


class StartOptions(ApiModel):
    """What QEMU fixes when a migration starts; a change means a restart, but for XBZRLE's cache."""

    object_rules: ClassVar = whole_start_rules()

    auto_converge: AutoConverge | None = Field(
        default=None,
        description="QEMU slows the guest's CPUs down until it dirties less than the link carries. Absent: "
        "the guest is never slowed, but where an objective allows it.",
    )
    compression: Compression | None = Field(
        default=None, description="How memory is compressed on its way. Absent: not at all."
    )
    parallel_connections: int | None = Field(
        default=None, description="Number of parallel channels (QEMU's multifd).", ge=1, le=255
    )
    zero_copy: bool | None = Field(default=None, description="Send without copying in the source's kernel.")
    encryption: Encryption | None = Field(
        default=None,
        description="Required: the stream by TLS, the daemons by an encrypted connection, or nothing at all. "
        "Disabled: none of the stream. Default: Disabled.",
    )


class DowntimeRamp(ApiModel):
    """The agent itself raises the downtime in exponential steps, as vdsm's downtime thread did."""

    max: Duration = Field(
        default=timedelta(milliseconds=500),
        description="The last step's downtime (vdsm's migration_downtime).",
        json_schema_extra=rules(duration_rule("max", least="10ms", most=MAX_DOWNTIME, example="500ms")),
    )
    steps: int = Field(default=5, description="How many (vdsm's migration_downtime_steps).", ge=2, le=50)


class Timeout(ApiModel):
    """A bound on a whole attempt: `base` plus `perGiB` for each GiB of the VM's memory; 0s together: none."""

    base: Duration = Field(
        default=timedelta(0),
        description="The part that is the same whatever the VM's size.",
        json_schema_extra=rules(duration_rule("base", example="10m")),
    )
    per_gib: Duration = Field(
        default=timedelta(0),
        alias="perGiB",
        description="Added for each GiB of the VM's memory (KubeVirt's completionTimeoutPerGiB: 150s).",
        json_schema_extra=rules(duration_rule("perGiB", example="150s")),
    )


class Trigger(ApiModel):
    """When a step is due: exactly one of these."""

    object_rules: ClassVar = (
        Rule(
            rule="[has(self.stalled), has(self.passes), has(self.elapsed), has(self.elapsedPerGiB)]"
            ".filter(x, x).size() == 1",
            message="after needs exactly one of stalled, passes, elapsed, elapsedPerGiB",
        ),
    )

    stalled: Duration | None = Field(
        default=None,
        description="MigrationStalling has been True for so long since the last step took effect. Such a "
        "step waits until all steps before it are behind.",
        json_schema_extra=rules(duration_rule("stalled")),
    )
    passes: int | None = Field(
        default=None,
        description="The attempt's pass number has reached this (1 is the first, full pass).",
        ge=1,
        le=1_000_000,
    )
    elapsed: Duration | None = Field(
        default=None,
        description="So long since the attempt began, wherever the migration stands.",
        json_schema_extra=rules(duration_rule("elapsed", example="5m")),
    )
    elapsed_per_gib: Duration | None = Field(
        default=None,
        alias="elapsedPerGiB",
        description="So long for each GiB of the VM's memory since the attempt began.",
        json_schema_extra=rules(duration_rule("elapsedPerGiB", example="150s")),
    )


class RestartOptions(StartOptions):
    """Start options over the policy's: what is absent here is as it is there."""

    object_rules: ClassVar = (
        *partial_start_rules(),
        throttle_rule("self"),
        Rule(
            rule="has(self.autoConverge) || has(self.compression) || has(self.parallelConnections)"
            " || has(self.zeroCopy) || has(self.encryption)",
            message="a restart needs at least one start option to change: it loses all that was sent",
        ),
    )


class Restart(ApiModel):
    """Abort and start again at once with other start options; what was sent is lost."""

    start: RestartOptions = Field(description="The start options of the new attempt, over the policy's.")


class Step(ApiModel):
    """One rung: a condition, and one thing to do. Behind us once its effect is in force."""

    object_rules: ClassVar = (
        Rule(
            rule="[has(self.setMaxDowntime), has(self.setBandwidth), has(self.restart),"
            " has(self.switchToPostCopy), has(self.suspend), has(self.abort)].filter(x, x).size() == 1",
            message="a step needs exactly one of setMaxDowntime, setBandwidth, restart, switchToPostCopy, "
            "suspend, abort",
        ),
    )

    after: Trigger = Field(description="When the step is due.")
    set_max_downtime: Duration | None = Field(
        default=None,
        description="Grant this downtime (libvirt's migrateSetMaxDowntime).",
        json_schema_extra=rules(
            duration_rule("setMaxDowntime", least="1ms", most=MAX_DOWNTIME, example="150ms")
        ),
    )
    set_bandwidth: Quantity | None = Field(
        default=None,
        description="Grant this bandwidth in pre-copy, in bytes per second.",
        json_schema_extra=rules(quantity_rule("setBandwidth", example="400Mi")),
    )
    restart: Restart | None = Field(default=None, description="Start again with other start options.")
    switch_to_post_copy: Empty | None = Field(
        default=None,
        description="Run the guest on the target at once and fetch its memory as it is touched. It ends for "
        "certain, but while it lasts a broken link stops the guest until it is back, and the loss of either "
        "host loses the VM.",
    )
    suspend: Empty | None = Field(
        default=None,
        description="Pause the guest until it has moved: it ends for certain, the stop is as long as it takes.",
    )
    abort: Empty | None = Field(default=None, description="Give up; the VM stays on its source, untouched.")


class Technique(StrEnum):
    """What an objective may use beyond plain pre-copy."""

    AUTO_CONVERGE = "AutoConverge"
    POST_COPY = "PostCopy"
    SUSPEND = "Suspend"


class Throttle(StrEnum):
    """How auto-converge is started where an objective allows it."""

    GENTLE = "Gentle"
    HARD = "Hard"


class PostCopyTiming(StrEnum):
    """When an objective that allows post-copy switches to it."""

    WHEN_NEEDED = "WhenNeeded"
    AFTER_FIRST_PASS = "AfterFirstPass"  # noqa: S105 - a pass over memory


class Otherwise(StrEnum):
    """What an objective does when nothing that it allows can reach it."""

    ABORT = "Abort"
    KEEP_TRYING = "KeepTrying"


class Objective(ApiModel):
    """What matters, instead of steps: the planner picks the cheapest way."""

    object_rules: ClassVar = (
        Rule(
            rule="!has(self.preferredDowntime) || "
            f"![self.preferredDowntime, self.maxDowntime].all(d, d.matches('{PATTERN}'))"
            " || duration(self.preferredDowntime) <= duration(self.maxDowntime)",
            message="preferredDowntime must not exceed maxDowntime",
            field_path=".preferredDowntime",
        ),
        Rule(
            rule="!has(self.allow) || self.allow.all(one, self.allow.exists_one(other, other == one))",
            message="allow must name each technique once",
            field_path=".allow",
        ),
        Rule(
            rule="!has(self.postCopy) || self.postCopy != 'AfterFirstPass'"
            " || (has(self.allow) && 'PostCopy' in self.allow)",
            message="postCopy: AfterFirstPass needs PostCopy in allow; add it there, or remove postCopy",
            field_path=".postCopy",
        ),
        Rule(
            rule="!has(self.throttle) || self.throttle != 'Hard'"
            " || (has(self.allow) && 'AutoConverge' in self.allow)",
            message="throttle: Hard needs AutoConverge in allow; add it there, or remove throttle",
            field_path=".throttle",
        ),
        Rule(
            rule="!has(self.completeWithinPerGiB) || has(self.completeWithin)",
            message="completeWithinPerGiB is added to completeWithin; give that too",
            field_path=".completeWithinPerGiB",
        ),
    )

    preferred_downtime: Duration | None = Field(
        default=None,
        description="The downtime granted at first; not exceeded while the migration can still be expected "
        "to get there within the deadline. Absent: maxDowntime from the start.",
        json_schema_extra=rules(
            duration_rule("preferredDowntime", least="1ms", most=MAX_DOWNTIME, example="100ms")
        ),
    )
    max_downtime: Duration = Field(
        description="What the guest's stop in pre-copy is to stay within: QEMU, which reckons with memory alone, "
        "is given a tenth less, and at least 100ms less (but no less than half of it). It can't reckon with a "
        "guest that begins to write faster at that very moment.",
        json_schema_extra=rules(
            duration_rule("maxDowntime", least="20ms", most=MAX_DOWNTIME, example="500ms")
        ),
    )
    complete_within: Duration | None = Field(
        default=None,
        description="The deadline, counted from the start of the try, not from a restart within it: by then "
        "the planner does what ends it for certain, where that is allowed, or else as `otherwise` says. "
        "Absent: none.",
        json_schema_extra=rules(duration_rule("completeWithin", least="1s", example="10m")),
    )
    complete_within_per_gib: Duration | None = Field(
        default=None,
        alias="completeWithinPerGiB",
        description="Added to completeWithin for each GiB of the VM's memory.",
        json_schema_extra=rules(duration_rule("completeWithinPerGiB", example="15s")),
    )
    allow: list[Technique] = Field(
        default=[],
        description="What may be used beyond pre-copy. AutoConverge: slow the guest's CPUs down. PostCopy: "
        "run the guest on the target and fetch its memory as it is touched; a broken link stops the guest, "
        "the loss of either host loses the VM. Suspend: pause the guest until it has moved, for as long as "
        "that takes. Absent: nothing.",
        max_length=3,
    )
    throttle: Throttle = Field(
        default=Throttle.GENTLE,
        description="How hard auto-converge starts, where allowed. Gentle: at 40 percent, 30 more at each "
        "further try. Hard: at 90 percent, then 99.",
    )
    post_copy: PostCopyTiming = Field(
        default=PostCopyTiming.WHEN_NEEDED,
        description="When post-copy is switched to, where allowed. WhenNeeded: once pre-copy is found "
        "hopeless, or at the deadline. AfterFirstPass: as soon as all memory was sent once, the soonest end "
        "there is.",
    )
    otherwise: Otherwise = Field(
        default=Otherwise.ABORT,
        description="What follows when nothing allowed can reach it. Abort: give up, the VM stays on its source. "
        "KeepTrying: go on until the VM has moved or is cancelled; progressTimeout is then 0s unless given.",
    )


class PostCopyRecovery(ApiModel):
    """How an interrupted post-copy is taken up again; the guest is never killed."""

    attempts: int = Field(
        default=10,
        description="How often it is tried, each time that it is interrupted; 0: never. Then it is left paused, "
        "and told as PostCopyInterrupted with reason RecoveryExhausted.",
        ge=0,
        le=1000,
    )
    backoff: Duration = Field(
        default=timedelta(seconds=5),
        description="The wait before the second attempt, growing from then on.",
        json_schema_extra=rules(duration_rule("backoff", least="1s", most="1h", example="5s")),
    )


class Retry(ApiModel):
    """What follows a failed attempt."""

    object_rules: ClassVar = (
        Rule(
            rule="!has(self.thenPolicy) || !has(self.attempts) || self.attempts > 1",
            message="thenPolicy is the policy of the last of several attempts; raise attempts to 2 or more, or "
            "remove it",
            field_path=".thenPolicy",
        ),
    )

    attempts: int = Field(
        default=3,
        description="How many tries in all, the first one included; 1: none follows. A cancel is no failure, "
        "nor is a restart. Without retry there is one.",
        ge=1,
        le=100,
    )
    backoff: Duration = Field(
        default=timedelta(seconds=20),
        description="The wait before the second try, twice as long before each further one (an hour at "
        "most), with up to a fifth added by chance (KubeVirt: 20s).",
        json_schema_extra=rules(duration_rule("backoff", least="1s", most="24h", example="20s")),
    )
    then_policy: Name | None = Field(
        default=None,
        description="The policy of the last try, such as one that ends for certain. Absent: this one.",
        json_schema_extra=rules(object_name_rule("thenPolicy", example="post-copy")),
    )


class MigrationPolicySpec(ApiModel):
    """How the cluster lets a migration converge, and what it may cost the guest."""

    object_rules: ClassVar = (
        Rule(
            rule="[has(self.steps), has(self.objective), has(self.agentDowntimeRamp)]"
            ".filter(x, x).size() <= 1",
            message="steps, objective and agentDowntimeRamp exclude each other: keep steps for a ladder of your "
            "own, objective to let the planner choose, agentDowntimeRamp to leave it to the agent",
        ),
        Rule(
            rule="!has(self.maxDowntime) || !has(self.agentDowntimeRamp)",
            message="maxDowntime and agentDowntimeRamp exclude each other: the ramp sets the downtime itself; "
            "its last value is agentDowntimeRamp.max",
            field_path=".maxDowntime",
        ),
        Rule(
            rule="!has(self.maxDowntime) || !has(self.objective)",
            message="maxDowntime and objective exclude each other: use objective.maxDowntime",
            field_path=".maxDowntime",
        ),
        *objective_rules(),
        *step_rules(),
        throttle_rule("self.start"),
        *restart_rules(),
        restart_changes_rule(),
    )

    description: str | None = Field(
        default=None, description="For whom it is, what it risks, what it costs.", max_length=1024
    )
    global_default: bool = Field(
        default=False,
        description="The cluster's pick, for migrations that nothing else selects (as PriorityClass's).",
    )
    selector: PolicySelector | None = Field(
        default=None, description="Which migrations it is for. Absent: only by default or by reference."
    )
    priority: int = Field(
        default=0,
        description="Among several that select a migration the highest wins; then the more specific "
        "selector; then the name.",
        ge=-1_000_000,
        le=1_000_000,
    )
    concurrency: Concurrency | None = Field(
        default=None, description="How many migrations may run at once; the others wait in a queue."
    )
    bandwidth: Bandwidth | None = Field(
        default=None, description="Caps on the migration stream, in bytes per second. Absent: none."
    )
    queue_priority: int = Field(
        default=0,
        description="In the queue of those that wait for their turn each point counts as one minute of "
        "waiting.",
        ge=-1000,
        le=1000,
    )
    start: StartOptions | None = Field(
        default=None, description="What QEMU fixes at the start; a change means a restart."
    )
    restart_on_edit: bool = Field(
        default=False,
        description="An edit of `start` aborts running migrations and starts them again with the new options, "
        "but for XBZRLE's cacheSize, which is changed in flight. false: it holds from their next attempt on.",
    )
    max_downtime: Duration | None = Field(
        default=None,
        description="The downtime granted at first: QEMU switches over as soon as the needed downtime is "
        "below it. Default: 300ms (QEMU's).",
        json_schema_extra=rules(
            duration_rule("maxDowntime", least="1ms", most=MAX_DOWNTIME, example="100ms")
        ),
    )
    agent_downtime_ramp: DowntimeRamp | None = Field(
        default=None, description="Let the agent raise the downtime by itself, without steps."
    )
    stalling_limit: Duration = Field(
        default=timedelta(seconds=10),
        description="MigrationStalling turns True when the best needed downtime has not fallen by 3 % for so "
        "long; 0s: never.",
        json_schema_extra=rules(duration_rule("stallingLimit")),
    )
    progress_timeout: Duration | None = Field(
        default=None,
        description="The agent alone, also with the operator or the API server away, aborts when nothing "
        "gets better for so long: the best needed downtime does not fall (in the first passes: nothing is "
        "sent), and no new revision comes. 0s: never. Default: 150s; 0s where the objective says otherwise: "
        "KeepTrying.",
        json_schema_extra=rules(duration_rule("progressTimeout", example="150s")),
    )
    timeout: Timeout | None = Field(
        default=None, description="A bound on the whole attempt, enforced by the agent. Absent: none."
    )
    min_step_interval: Duration = Field(
        default=timedelta(0),
        description="At least so long between two steps; but switchToPostCopy, suspend and abort by `elapsed` or "
        "`elapsedPerGiB` come at their time.",
        json_schema_extra=rules(duration_rule("minStepInterval")),
    )
    steps: list[Step] | None = Field(
        default=None,
        description="What to do when the migration does not converge, in order. Each step has one `after` and "
        "one action. A step is behind us once its effect is in force (the downtime is at least that high, "
        "post-copy is on). One that is due by `elapsed`, `elapsedPerGiB` or `passes` is taken whether or not "
        "the steps before it were; one after `stalled` waits for them. Of several that are due the first in the "
        "list is taken, but switchToPostCopy, suspend or abort by `elapsed` or `elapsedPerGiB` before all others.",
        max_length=MAX_STEPS,
        min_length=1,
    )
    objective: Objective | None = Field(
        default=None,
        description="Say what matters instead of steps: the planner takes the cheapest way that is allowed.",
    )
    post_copy_recovery: PostCopyRecovery | None = Field(
        default=None,
        description="How an interrupted post-copy is recovered. Absent: as {}, by the defaults of its fields.",
    )
    retry: Retry | None = Field(default=None, description="What follows a failed attempt.")


class MigrationPolicyStatus(ApiModel):
    """What the operator says of the policy."""

    observed_generation: int | None = Field(
        default=None,
        description="The generation that the rest was found for; -1: the operator has not looked yet.",
        ge=-1,
    )
    conditions: list[Condition] = Field(
        default=[],
        description="Accepted: the policy can be carried out by this version of the operator. Ready says the "
        "same, and Stalled, where it can't, as kstatus and Flux read them.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    active: int | None = Field(default=None, description="How many migrations it steers now.", ge=0)


class MigrationPolicy(ApiObject):
    """A policy for live migrations: what to do when one does not converge, and what it may cost."""

    object_rules: ClassVar = (
        Rule(
            rule="!has(self.spec) || !has(self.spec.retry) || !has(self.spec.retry.thenPolicy)"
            " || self.spec.retry.thenPolicy != self.metadata.name",
            message="retry.thenPolicy must name another policy; remove it to try again with this one",
            field_path=".spec.retry.thenPolicy",
        ),
    )

    spec: MigrationPolicySpec
    status: MigrationPolicyStatus = MigrationPolicyStatus()
