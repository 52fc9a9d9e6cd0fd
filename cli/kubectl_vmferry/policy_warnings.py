"""What the API server takes of a policy, and what hardly anybody can have meant."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from vmferry_api.durations import format_duration
from vmferry_api.policies import MigrationPolicy, MigrationPolicySpec, Step
from vmferry_operator.decisions.check import PARALLEL_WITH_POST_COPY
from vmferry_operator.decisions.parameters import allows_post_copy, progress_timeout


def warnings(policy: MigrationPolicy, others: Sequence[MigrationPolicy] = ()) -> list[str]:
    """Each with its place.

    Args:
        policy: The policy.
        others: Those that are kept with it.
    """
    spec = policy.spec
    return [
        *_never_in_time(spec),
        *_never_ends(spec),
        *_excludes_post_copy(spec),
        *_unknown_last_try(policy, others),
        *_several_defaults(policy, others),
    ]


def _never_in_time(spec: MigrationPolicySpec) -> Iterator[str]:
    """Steps after `stalled` that progressTimeout comes before: both count from when the needed downtime fell last.

    A step that is carried out is a new revision, and begins progressTimeout anew.
    """
    limit = progress_timeout(spec)
    first = True
    for place, step in enumerate(spec.steps or []):
        stalled = step.after.stalled
        if stalled is None or limit <= timedelta(0):
            continue
        due = stalled + (spec.stalling_limit if first else timedelta(0))
        if due >= limit:
            counted = (
                f"stallingLimit and stalled are {format_duration(due)}"
                if first
                else f"stalled is {format_duration(due)}"
            )
            yield (
                f"spec.steps[{place}].after.stalled: never reached: {counted}, and progressTimeout "
                f"({format_duration(limit)}) ends the attempt before; raise progressTimeout, or shorten the wait"
            )
        first = False


def _never_ends(spec: MigrationPolicySpec) -> Iterator[str]:
    """A ladder whose last rung leaves the migration running, with nothing that would end it."""
    if spec.steps is None or progress_timeout(spec) > timedelta(0) or any(map(_ends, spec.steps)):
        return
    bound = spec.timeout
    if bound is None or (bound.base, bound.per_gib) == (timedelta(0), timedelta(0)):
        yield (
            "spec.steps: nothing ends a migration that does not converge: no step does, progressTimeout is 0s, "
            "and there is no timeout; end with abort, suspend or switchToPostCopy, or set a timeout"
        )


def _ends(step: Step) -> bool:
    return any(each is not None for each in (step.abort, step.suspend, step.switch_to_post_copy))


def _excludes_post_copy(spec: MigrationPolicySpec) -> Iterator[str]:
    if not allows_post_copy(spec):
        return
    starts = [("spec.start", spec.start)] + [
        (f"spec.steps[{place}].restart.start", step.restart.start)
        for place, step in enumerate(spec.steps or [])
        if step.restart is not None
    ]
    version = ".".join(map(str, PARALLEL_WITH_POST_COPY))
    for path, start in starts:
        if start is not None and start.parallel_connections is not None:
            yield f"{path}.parallelConnections: excludes the policy's post-copy on hosts before QEMU {version}"


def _unknown_last_try(policy: MigrationPolicy, others: Sequence[MigrationPolicy]) -> Iterator[str]:
    retry = policy.spec.retry
    named = retry.then_policy if retry is not None else None
    if named is not None and named not in {each.metadata.name for each in others}:
        yield f"spec.retry.thenPolicy: {named} is in none of these files; it must be in the cluster"


def _several_defaults(policy: MigrationPolicy, others: Sequence[MigrationPolicy]) -> Iterator[str]:
    rivals = [
        each.metadata.name
        for each in others
        if each.metadata.name != policy.metadata.name and each.spec.global_default
    ]
    if policy.spec.global_default and rivals:
        yield f"spec.globalDefault: so is {', '.join(sorted(rivals))}; the highest priority wins, then the name"
