"""What should be in force: a function of the policy, what was decided so far, and where the migration stands."""

from collections.abc import Sequence
from datetime import timedelta

from vmferry_api.durations import LONGEST, parse_duration, whole_milliseconds
from vmferry_api.migrations import Desired, DesiredState, MigrationTechnique, StepRecord
from vmferry_api.policies import (
    AutoConverge,
    Compression,
    CompressionMethod,
    MigrationPolicySpec,
    Objective,
    Otherwise,
    PostCopyRecovery,
    StartOptions,
    Technique,
    Throttle,
    Timeout,
)
from vmferry_api.quantities import parse_quantity
from vmferry_operator.decisions import records
from vmferry_operator.decisions.actions import ActionName
from vmferry_operator.decisions.shares import Share
from vmferry_operator.decisions.situations import GIB, Situation

DEFAULT_MAX_DOWNTIME = timedelta(milliseconds=300)
"""QEMU's own."""
DEFAULT_PROGRESS_TIMEOUT = timedelta(seconds=150)
DEFAULT_COMPRESSION_CACHE = 64 * 2**20
"""QEMU's own."""
PART = 0.9
LEAST = timedelta(milliseconds=1)
"""Zero would mean never."""
RESERVE = timedelta(milliseconds=100)
"""So much of an objective's maxDowntime is not granted: QEMU reckons with memory alone and by a rate that
fluctuates. The state of the devices and the start on the target come on top (84 ms were seen on a busy host)."""
THROTTLES = {
    Throttle.GENTLE: AutoConverge(initial=40, increment=30),
    Throttle.HARD: AutoConverge(initial=90, increment=9),
}
"""However hard, auto-converge costs a guest about the time to send its hot set once: the harder, the sooner."""


def parameters(
    policy: MigrationPolicySpec,
    current: Desired | None,
    steps: Sequence[StepRecord],
    situation: Situation,
    *,
    attempt: int,
    share: Share,
    report_every: timedelta,
) -> Desired:
    """The parameters, computed anew; revision, time and reason are those of `current`.

    Args:
        policy: The policy with the migration's overrides.
        current: What was wanted last: what QEMU fixes at a start stays as it was started.
        steps: The audit trail.
        situation: Where the migration stands.
        attempt: The attempt that is wanted.
        share: This migration's share of its nodes' bandwidth.
        report_every: How often progress is to be reported.
    """
    this_try = [step for step in records.since(steps, situation.first_attempt_of_try) if records.stands(step)]
    this_attempt = {records.action(step).name for step in records.since(this_try, attempt)}
    started = current if current is not None and current.attempt == attempt else None
    ramp = policy.agent_downtime_ramp
    post_copy = situation.in_post_copy or ActionName.SWITCH_TO_POST_COPY in this_attempt
    start = started.start if started else start_options(policy, this_try)
    cap = bandwidth(policy, this_try)
    return Desired(
        revision=current.revision if current else 1,
        state=DesiredState.ABORT if ActionName.ABORT in this_attempt else DesiredState.MIGRATE,
        attempt=attempt,
        technique=MigrationTechnique.POST_COPY if post_copy else MigrationTechnique.PRE_COPY,
        post_copy_allowed=started.post_copy_allowed
        if started
        else keeps_post_copy_open(policy, situation, start),
        suspend=ActionName.SUSPEND in this_attempt,
        max_downtime=None if ramp else max_downtime(policy, this_try),
        agent_downtime_ramp=ramp,
        bandwidth=cap,
        share=share(cap),
        post_copy_bandwidth=policy.bandwidth.post_copy if policy.bandwidth else None,
        start=start,
        compression_cache=compression_cache(start, start_options(policy, this_try)),
        post_copy_recovery=policy.post_copy_recovery or PostCopyRecovery(),
        stalling_limit=policy.stalling_limit,
        progress_timeout=progress_timeout(policy),
        timeout=total_timeout(policy.timeout, situation.memory),
        report_every=report_every,
        reason=current.reason if current else "the policy's start",
        time=current.time if current else None,
    )


def max_downtime(policy: MigrationPolicySpec, steps: Sequence[StepRecord]) -> timedelta:
    """What the policy grants at first, or what a step has raised it to, as far as the policy still goes."""
    base = base_downtime(policy)
    raised = [parse_duration(value) for value in _values(steps, ActionName.SET_MAX_DOWNTIME)]
    if not raised:
        return base
    return max(base, min(raised[-1], highest_downtime(policy)))


def base_downtime(policy: MigrationPolicySpec) -> timedelta:
    """What is granted at first."""
    objective = policy.objective
    if objective is None:
        return policy.max_downtime or DEFAULT_MAX_DOWNTIME
    most = budget(objective)
    return most if objective.preferred_downtime is None else min(objective.preferred_downtime, most)


def budget(objective: Objective) -> timedelta:
    """The most that QEMU is given, so that the real downtime stays within the objective's."""
    most = objective.max_downtime
    return max(LEAST, whole_milliseconds(max(most / 2, min(most * PART, most - RESERVE))))


def highest_downtime(policy: MigrationPolicySpec) -> timedelta:
    """The most that the policy may come to grant."""
    if policy.objective is not None:
        return budget(policy.objective)
    rungs = [step.set_max_downtime for step in policy.steps or [] if step.set_max_downtime is not None]
    return max([base_downtime(policy), *rungs])


def bandwidth(policy: MigrationPolicySpec, steps: Sequence[StepRecord]) -> int | None:
    """The cap of the policy, or what a step has raised it to, as far as the policy still goes; None: no cap."""
    base = policy.bandwidth.per_migration if policy.bandwidth else None
    raised = [parse_quantity(value) for value in _values(steps, ActionName.SET_BANDWIDTH)]
    if base is None or not raised:
        return base
    rungs = [step.set_bandwidth for step in policy.steps or [] if step.set_bandwidth is not None]
    return max(base, min(raised[-1], max([base, *rungs])))


def start_options(policy: MigrationPolicySpec, steps: Sequence[StepRecord]) -> StartOptions | None:
    """The policy's, with those of the last step `restart` over them; None: QEMU's own."""
    base = policy.start
    objective = policy.objective
    if objective is not None and _throttles_from_the_start(objective):
        base = base or StartOptions()
        if base.auto_converge is None:
            base = base.replace(auto_converge=THROTTLES[objective.throttle])
    restarts = _values(steps, ActionName.RESTART)
    if not restarts:
        return base
    given = StartOptions.model_validate_json(restarts[-1])
    changes = {
        name: value for name in StartOptions.model_fields if (value := getattr(given, name)) is not None
    }
    return (base or StartOptions()).replace(**changes)


def compression_cache(started: StartOptions | None, wanted: StartOptions | None) -> int | None:
    """XBZRLE's cache, which QEMU resizes in flight, unlike all else of a start; None: as it was started.

    Args:
        started: What the attempt was started with.
        wanted: What it would be started with now.
    """
    has, asks = _xbzrle(started), _xbzrle(wanted)
    if has is None or asks is None or asks.cache_size is not None:
        return None if has is None else (asks or has).cache_size
    return None if has.cache_size is None else DEFAULT_COMPRESSION_CACHE


def same_start(one: StartOptions | None, other: StartOptions | None) -> bool:
    """Whether an attempt with the one can go on as if started with the other."""
    return _resizable(one) == _resizable(other)


def _resizable(start: StartOptions | None) -> StartOptions:
    start = start or StartOptions()
    compression = start.compression
    return start.replace(compression=compression and compression.replace(cache_size=None))


def _xbzrle(start: StartOptions | None) -> Compression | None:
    compression = start.compression if start else None
    return compression if compression and compression.method == CompressionMethod.XBZRLE else None


def _throttles_from_the_start(objective: Objective) -> bool:
    """A restart would cost a first pass; but where post-copy is allowed that is cheaper for the guest."""
    return Technique.AUTO_CONVERGE in objective.allow and Technique.POST_COPY not in objective.allow


def allows_post_copy(policy: MigrationPolicySpec) -> bool:
    """Whether the policy may come to want post-copy."""
    if policy.objective is not None:
        return Technique.POST_COPY in policy.objective.allow
    return any(step.switch_to_post_copy is not None for step in policy.steps or [])


def keeps_post_copy_open(
    policy: MigrationPolicySpec, situation: Situation, start: StartOptions | None
) -> bool:
    """Whether to start so that post-copy stays possible.

    It costs nothing until it is used, so it is kept open for an edit of the policy wherever both hosts can do it.
    Parallel connections exclude it before QEMU 10.1.
    """
    parallel = start is not None and start.parallel_connections is not None
    return allows_post_copy(policy) or (situation.post_copy_possible and not parallel)


def progress_timeout(policy: MigrationPolicySpec) -> timedelta:
    """When the agent aborts for want of progress; zero: never."""
    if policy.progress_timeout is not None:
        return policy.progress_timeout
    objective = policy.objective
    keeps_trying = objective is not None and objective.otherwise is Otherwise.KEEP_TRYING
    return timedelta(0) if keeps_trying else DEFAULT_PROGRESS_TIMEOUT


def total_timeout(timeout: Timeout | None, memory: int | None) -> timedelta | None:
    """The bound on an attempt for a VM of so many bytes; None: no bound."""
    if timeout is None:
        return None
    return for_memory(timeout.base, timeout.per_gib, memory) or None


def total_within(objective: Objective, memory: int | None) -> timedelta | None:
    """How long an objective lets a try take for a VM of so many bytes; None: no bound."""
    base, per_gib = objective.complete_within, objective.complete_within_per_gib
    if base is None and per_gib is None:
        return None
    return for_memory(base or timedelta(0), per_gib or timedelta(0), memory)


def for_memory(base: timedelta, per_gib: timedelta, memory: int | None) -> timedelta:
    """A time that grows with a VM's memory, of so many bytes; no longer than any duration."""
    gib = (memory or 0) / GIB
    if base.total_seconds() + per_gib.total_seconds() * gib >= LONGEST.total_seconds():
        return LONGEST
    return whole_milliseconds(base + per_gib * gib)


def _values(steps: Sequence[StepRecord], name: ActionName) -> list[str]:
    actions = (records.action(step) for step in steps)
    return [each.value for each in actions if each.name == name and each.value is not None]
