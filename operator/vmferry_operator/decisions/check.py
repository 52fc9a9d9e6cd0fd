"""Whether this operator can carry out what an object asks for; what it can't, it says."""

from vmferry_api.migrations import VMMigrationSpec
from vmferry_api.policies import MigrationPolicySpec


def unsupported_in_policy(spec: MigrationPolicySpec) -> list[str]:
    """The fields of a policy that are part of the API and not yet carried out."""
    found = [
        name
        for name, given in (
            ("selector", spec.selector is not None),
            ("concurrency", spec.concurrency is not None),
            ("start", spec.start is not None),
            ("objective", spec.objective is not None),
            ("postCopyRecovery", spec.post_copy_recovery is not None),
            ("retry", spec.retry is not None),
            ("bandwidth.perNode", spec.bandwidth is not None and spec.bandwidth.per_node is not None),
        )
        if given
    ]
    found += [
        f"steps[{place}].restart" for place, step in enumerate(spec.steps or []) if step.restart is not None
    ]
    return found


def unsupported_in_migration(spec: VMMigrationSpec) -> list[str]:
    """The fields of a migration that are part of the API and not yet carried out."""
    found = ["ttlAfterFinished"] if spec.ttl_after_finished is not None else []
    bandwidth = spec.overrides.bandwidth if spec.overrides else None
    if bandwidth is not None and bandwidth.per_node is not None:
        found.append("overrides.bandwidth.perNode")
    return found


def unsupported_message(what: str, fields: list[str]) -> str:
    """What to tell the user."""
    return f"{what} asks for what this version of vmferry can't do yet: {', '.join(fields)}; remove it"
