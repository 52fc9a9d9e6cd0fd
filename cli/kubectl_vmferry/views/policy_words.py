"""What a policy does, in words."""

from collections.abc import Iterator
from datetime import timedelta

from kubectl_vmferry.views.figures import rate
from kubectl_vmferry.views.upcoming import trigger
from vmferry_api.durations import format_duration
from vmferry_api.migrations import Desired, DesiredState, MigrationTechnique
from vmferry_api.policies import (
    MigrationPolicySpec,
    Objective,
    Otherwise,
    PostCopyTiming,
    StartOptions,
    Technique,
)
from vmferry_operator.decisions.actions import action_of
from vmferry_operator.decisions.parameters import (
    base_downtime,
    budget,
    progress_timeout,
    total_timeout,
    total_within,
)

_TECHNIQUES = {
    Technique.AUTO_CONVERGE: "slow the guest down",
    Technique.POST_COPY: "switch to post-copy",
    Technique.SUSPEND: "pause the guest until it has moved",
}


def in_words(policy: MigrationPolicySpec, memory: int | None) -> list[str]:
    """What it does to a VM, in the order in which it does.

    Args:
        policy: The policy, with overrides.
        memory: The VM's, in bytes; None: not known, and what is reckoned per GiB is told so.
    """
    return [
        *_start(policy),
        *_objective(policy.objective, memory),
        *_steps(policy),
        *_bounds(policy, memory),
        *_after(policy),
    ]


def _start(policy: MigrationPolicySpec) -> Iterator[str]:
    ramp = policy.agent_downtime_ramp
    if ramp is not None:
        yield f"the agent raises the granted stop in {ramp.steps} steps up to {format_duration(ramp.max)}"
    else:
        yield f"grants a stop of {format_duration(base_downtime(policy))} at first"
    bandwidth = policy.bandwidth
    if bandwidth is not None and bandwidth.per_migration is not None:
        yield f"sends at most {rate(bandwidth.per_migration)}"
    if bandwidth is not None and bandwidth.per_node is not None:
        yield f"all migrations of a node share {rate(bandwidth.per_node)} each way"
    if policy.start is not None:
        yield f"starts with {', '.join(_options(policy.start))}"


def _options(start: StartOptions) -> Iterator[str]:
    if start.auto_converge is not None:
        throttle = start.auto_converge
        yield f"auto-converge from {throttle.initial} %, {throttle.increment} more each time"
    if start.compression is not None:
        yield f"compression by {start.compression.method}"
    if start.parallel_connections is not None:
        yield f"{start.parallel_connections} parallel connections"
    if start.zero_copy:
        yield "zero copy"
    if start.encryption is not None:
        yield f"encryption {start.encryption}"


def _objective(objective: Objective | None, memory: int | None) -> Iterator[str]:
    if objective is None:
        return
    yield (
        f"grants up to {format_duration(budget(objective))} as soon as less does not do, so that the stop stays "
        f"within {format_duration(objective.max_downtime)}"
    )
    for technique in objective.allow:
        when = "once pre-copy is found hopeless"
        if technique == Technique.POST_COPY and objective.post_copy == PostCopyTiming.AFTER_FIRST_PASS:
            when = "as soon as all memory was sent once"
        yield f"may {_TECHNIQUES[technique]}, {when}"
    within = total_within(objective, memory)
    if within is not None:
        unknown = memory is None and objective.complete_within_per_gib is not None
        yield f"is to be over after {format_duration(within)}{' and more for each GiB' if unknown else ''}"
    if objective.otherwise == Otherwise.ABORT:
        yield "gives up when nothing that is allowed can reach that; the VM stays on its source"
    else:
        yield "goes on when nothing that is allowed can reach that, until the VM has moved or is cancelled"


def _steps(policy: MigrationPolicySpec) -> Iterator[str]:
    nothing = Desired(
        revision=1,
        state=DesiredState.MIGRATE,
        attempt=1,
        technique=MigrationTechnique.PRE_COPY,
        stalling_limit=policy.stalling_limit,
        progress_timeout=progress_timeout(policy),
    )
    for place, step in enumerate(policy.steps or [], start=1):
        words = action_of(step).text(nothing).replace("QEMU's → ", "").replace("unlimited → ", "")
        yield f"step {place}: {words}, {trigger(step.after)}"


def _bounds(policy: MigrationPolicySpec, memory: int | None) -> Iterator[str]:
    if policy.stalling_limit > timedelta(0):
        limit = format_duration(policy.stalling_limit)
        yield f"calls it stalling when the needed downtime has not fallen for {limit}"
    silent = progress_timeout(policy)
    if silent > timedelta(0):
        yield f"the agent gives up when nothing gets better for {format_duration(silent)}"
    whole = total_timeout(policy.timeout, memory)
    if whole is not None:
        yield f"the agent gives up after {format_duration(whole)} in any case"


def _after(policy: MigrationPolicySpec) -> Iterator[str]:
    retry = policy.retry
    if retry is not None and retry.attempts > 1:
        last = f", the last one by {retry.then_policy}" if retry.then_policy else ""
        yield f"tries up to {retry.attempts} times{last}"
