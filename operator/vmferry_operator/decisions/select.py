"""Which policy applies to a migration, and why; and why not the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vmferry_api.migrations import AppliedPolicy, PolicyOverrides, VMMigration
from vmferry_api.policies import (
    Bandwidth,
    DowntimeRamp,
    MigrationPolicy,
    MigrationPolicySpec,
)
from vmferry_operator.decisions.candidates import Candidate, needs, ranked
from vmferry_operator.decisions.wording import Clause, listed, sentence, shortened_name

BUILT_IN = "(built-in)"
"""The name shown for the built-in default; no object can be called so."""
HELD = "; held since the attempt began"
LONGEST_WHY = 1024
"""Characters; `kubectl get -o yaml` is read by people."""


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


def select_policy(
    migration: VMMigration,
    policies: Sequence[MigrationPolicy],
    namespace_labels: Mapping[str, str] | None,
) -> Selection | NoSelection:
    """spec.policyRef, else the best selector that matches, else the global default, else the built-in default.

    Of several selectors the highest priority wins, then the more specific one, then the name; of several global
    defaults, which are no error, the highest priority, then the name.

    Args:
        migration: The migration.
        policies: All policies.
        namespace_labels: Of its Namespace; None: not known just now.
    """
    if migration.unreadable:
        return _unreadable("the migration", migration.unreadable)
    candidates = ranked(migration, policies, namespace_labels)
    if migration.spec.policy_ref is not None:
        return _referenced(migration, policies, candidates)
    place = next((place for place, each in enumerate(candidates) if each.match.certain), None)
    winner = None if place is None else candidates[place]
    before = candidates[:place]
    unknown = [each.name for each in before if each.match.namespace_unknown]
    if unknown:
        return NoSelection(
            reason="NamespaceUnknown",
            message=f"the labels of Namespace {migration.metadata.namespace} can't be read just now; by them "
            f"it may be for {listed(unknown)}",
        )
    not_matching = Clause(intro="not matching", items=needs(candidates))
    if winner is None:
        return _by_default(migration, policies, not_matching)
    after = [each for each in candidates if each is not winner and each.match.unmet is None]
    behind = [f"{shortened_name(each.name)} ({each.behind(winner)})" for each in after]
    why = sentence(
        f"its selector matches (priority {winner.priority})",
        [Clause(intro="also matching, but after it", items=behind), not_matching],
        most=LONGEST_WHY,
    )
    return _selected(winner.policy, migration, why)


def _by_default(
    migration: VMMigration, policies: Sequence[MigrationPolicy], not_matching: Clause
) -> Selection | NoSelection:
    """What holds where no selector matches."""
    defaults = sorted((policy for policy in policies if policy.spec.global_default), key=_default_rank)
    if defaults:
        winner, *after = defaults
        others = [f"{shortened_name(each.metadata.name)} (priority {each.spec.priority})" for each in after]
        why = sentence(
            "global default: no spec.policyRef, no selector matches",
            [Clause(intro="also marked so, but after it by priority, then name", items=others), not_matching],
            most=LONGEST_WHY,
        )
        return _selected(winner, migration, why)
    why = sentence(
        "built-in default, the agent's downtime ramp: no spec.policyRef, no selector matches, and no policy "
        "is the global default",
        [not_matching],
        most=LONGEST_WHY,
    )
    return _built_in(migration, why)


def held_policy(
    applied: AppliedPolicy, migration: VMMigration, policies: Sequence[MigrationPolicy], *, begins: bool
) -> Selection | NoSelection:
    """The policy that an attempt was ordered by, as it is now; whatever would be selected by now.

    Args:
        applied: What the status tells of it.
        migration: The migration.
        policies: All policies.
        begins: Whether the attempt has begun since the last look.
    """
    if migration.unreadable:
        return _unreadable("the migration", migration.unreadable)
    why = f"{applied.why}{HELD}" if begins else applied.why
    if applied.name == BUILT_IN:
        return _built_in(migration, why)
    held = _find(policies, applied.name)
    if held is None:
        return NoSelection(
            reason="PolicyNotFound",
            message=f"MigrationPolicy {applied.name}, by which the attempt goes, does not exist any more; what is "
            f"in force stays until it ends; create it anew, or set spec.policyRef (there are: {_names(policies)})",
        )
    return _selected(held, migration, why)


def then_policy_selection(
    selection: Selection, migration: VMMigration, policies: Sequence[MigrationPolicy]
) -> Selection | NoSelection:
    """The policy of the last try, which the selected policy's retry.thenPolicy names."""
    retry = selection.spec.retry
    if retry is None or retry.then_policy is None:
        return selection
    named = _find(policies, retry.then_policy)
    if named is None:
        return NoSelection(
            reason="PolicyNotFound",
            message=f"retry.thenPolicy of MigrationPolicy {selection.name} names {retry.then_policy}, which does "
            f"not exist; create it, or change thenPolicy (there are: {_names(policies)})",
        )
    why = f"retry.thenPolicy of {selection.name}: the last of {retry.attempts} tries"
    return _selected(named, migration, why)


def with_overrides(spec: MigrationPolicySpec, overrides: PolicyOverrides | None) -> MigrationPolicySpec:
    """The policy with single tunables replaced.

    A maxDowntime takes the place of a ramp, and is that of an objective, where the policy has one.
    """
    if overrides is None:
        return spec
    changes: dict[str, object] = {
        name: value
        for name in ("max_downtime", "stalling_limit", "progress_timeout", "timeout", "queue_priority")
        if (value := getattr(overrides, name)) is not None
    }
    if overrides.max_downtime is not None:
        changes["agent_downtime_ramp"] = None
        if spec.objective is not None:
            del changes["max_downtime"]
            changes["objective"] = spec.objective.replace(max_downtime=overrides.max_downtime)
    if overrides.bandwidth is not None:
        base = spec.bandwidth or Bandwidth()
        changes["bandwidth"] = base.replace(**_given(overrides.bandwidth))
    return spec.replace(**changes)


def _referenced(
    migration: VMMigration, policies: Sequence[MigrationPolicy], candidates: Sequence[Candidate]
) -> Selection | NoSelection:
    name = migration.spec.policy_ref.name if migration.spec.policy_ref else ""
    named = _find(policies, name)
    if named is None:
        return NoSelection(
            reason="PolicyNotFound",
            message=f"spec.policyRef names MigrationPolicy {name}, which does not exist; create it, or "
            f"change policyRef (there are: {_names(policies)})",
        )
    others = [shortened_name(each.name) for each in candidates if each.match.certain and each.name != name]
    passed_over = Clause(intro="it goes before selectors, also of", items=others)
    return _selected(named, migration, sentence("named by spec.policyRef", [passed_over], most=LONGEST_WHY))


def _built_in(migration: VMMigration, why: str) -> Selection:
    spec = MigrationPolicySpec(agent_downtime_ramp=DowntimeRamp())
    return Selection(
        name=BUILT_IN, generation=None, spec=with_overrides(spec, migration.spec.overrides), why=why
    )


def _default_rank(policy: MigrationPolicy) -> tuple[int, str]:
    return -policy.spec.priority, policy.metadata.name


def unreadable_message(what: str, fields: Sequence[str]) -> str:
    """What to tell the user of an object that was stored by other rules than today's."""
    return f"{what} can't be read: {listed(fields)}; write it anew"


def _unreadable(what: str, fields: Sequence[str]) -> NoSelection:
    return NoSelection(reason="Unreadable", message=unreadable_message(what, fields))


def _selected(policy: MigrationPolicy, migration: VMMigration, why: str) -> Selection | NoSelection:
    if policy.unreadable:
        return _unreadable(f"MigrationPolicy {policy.metadata.name}", policy.unreadable)
    return Selection(
        name=policy.metadata.name,
        generation=policy.metadata.generation,
        spec=with_overrides(policy.spec, migration.spec.overrides),
        why=why,
    )


def _find(policies: Sequence[MigrationPolicy], name: str) -> MigrationPolicy | None:
    return next((policy for policy in policies if policy.metadata.name == name), None)


def _given(bandwidth: Bandwidth) -> dict[str, object]:
    return {name: value for name in type(bandwidth).model_fields if (value := getattr(bandwidth, name))}


def _names(policies: Sequence[MigrationPolicy]) -> str:
    return listed(sorted(policy.metadata.name for policy in policies)) if policies else "none"
