"""Which policy applies to a migration, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

from vmferry_api.migrations import PolicyOverrides, VMMigrationSpec
from vmferry_api.policies import Bandwidth, DowntimeRamp, MigrationPolicy, MigrationPolicySpec

BUILT_IN = "(built-in)"
"""The name shown for the built-in default; no object can be called so."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The policy in force with the migration's overrides in it."""

    name: str
    generation: int | None
    spec: MigrationPolicySpec
    why: str


@dataclass(frozen=True, kw_only=True)
class NoSelection:
    """No policy can be named; the migration waits."""

    reason: str
    message: str


def select_policy(migration: VMMigrationSpec, policies: Sequence[MigrationPolicy]) -> Selection | NoSelection:
    """policyRef, else the global default, else the built-in default: the agent's own downtime ramp.

    Several global defaults are no error: the highest priority wins, then the name.
    """
    if migration.policy_ref is not None:
        name = migration.policy_ref.name
        named = next((policy for policy in policies if policy.metadata.name == name), None)
        if named is None:
            return NoSelection(
                reason="PolicyNotFound",
                message=f"spec.policyRef names MigrationPolicy {name}, which does not exist; create it, or "
                f"change policyRef (there are: {_names(policies) or 'none'})",
            )
        return _selected(named, migration, why="named by spec.policyRef")
    defaults = sorted(
        (policy for policy in policies if policy.spec.global_default),
        key=lambda policy: (-policy.spec.priority, policy.metadata.name),
    )
    if not defaults:
        built_in = MigrationPolicySpec(agent_downtime_ramp=DowntimeRamp())
        return Selection(
            name=BUILT_IN,
            generation=None,
            spec=with_overrides(built_in, migration.overrides),
            why="built-in default, the agent's downtime ramp: no spec.policyRef, and no policy is the global "
            "default",
        )
    winner, *others = defaults
    why = "global default: no spec.policyRef"
    if others:
        why += f"; also marked so, but after it by priority, then name: {_names(others)}"
    return _selected(winner, migration, why=why)


def with_overrides(spec: MigrationPolicySpec, overrides: PolicyOverrides | None) -> MigrationPolicySpec:
    """The policy with single tunables replaced; a maxDowntime of one's own takes the ramp's place."""
    if overrides is None:
        return spec
    changes: dict[str, object] = {
        name: value
        for name in ("max_downtime", "stalling_limit", "progress_timeout", "timeout")
        if (value := getattr(overrides, name)) is not None
    }
    if overrides.max_downtime is not None:
        changes["agent_downtime_ramp"] = None
    if overrides.bandwidth is not None:
        base = spec.bandwidth or Bandwidth()
        changes["bandwidth"] = base.replace(**_given(overrides.bandwidth))
    return spec.replace(**changes)


def _selected(policy: MigrationPolicy, migration: VMMigrationSpec, *, why: str) -> Selection:
    return Selection(
        name=policy.metadata.name,
        generation=policy.metadata.generation,
        spec=with_overrides(policy.spec, migration.overrides),
        why=why,
    )


def _given(bandwidth: Bandwidth) -> dict[str, object]:
    return {name: value for name in type(bandwidth).model_fields if (value := getattr(bandwidth, name))}


def _names(policies: Sequence[MigrationPolicy]) -> str:
    return ", ".join(sorted(policy.metadata.name for policy in policies))
