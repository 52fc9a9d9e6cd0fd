"""Which policy applies to a migration, and what is with each of the others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.candidates import Candidate, ranked
from vmferry_operator.decisions.select import NoSelection, Selection, select_policy


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A policy, and why it is this one or not."""

    policy: str
    chosen: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What selecting a policy comes to now."""

    selection: Selection | NoSelection
    verdicts: Sequence[Verdict]
    """The chosen one first, then those that come near."""


def choice(
    migration: VMMigration, policies: Sequence[MigrationPolicy], namespace_labels: Mapping[str, str] | None
) -> Choice:
    """Select one, and tell of all.

    Args:
        migration: The migration, or one as it would be.
        policies: All policies.
        namespace_labels: Of its namespace; None: not known.
    """
    selection = select_policy(migration, policies, namespace_labels)
    chosen = selection.name if isinstance(selection, Selection) else None
    candidates = ranked(migration, policies, namespace_labels)
    winner = next((each for each in candidates if each.name == chosen), None)
    by_name = {each.name: each for each in candidates}
    verdicts = [
        _verdict(each, chosen, by_name.get(each.metadata.name), winner, migration)
        for each in sorted(policies, key=lambda each: each.metadata.name)
    ]
    if isinstance(selection, Selection):
        verdicts = [
            Verdict(policy=selection.name, chosen=True, why=_own(selection)),
            *(each for each in verdicts if not each.chosen),
        ]
    return Choice(selection=selection, verdicts=sorted(verdicts, key=_order))


def by_reason(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, list[str]]]:
    """The reasons why others are passed over, in their order, each with the policies that it is told of."""
    reasons: dict[str, list[str]] = {}
    for each in verdicts:
        if not each.chosen:
            reasons.setdefault(each.why, []).append(each.policy)
    yield from reasons.items()


def _order(verdict: Verdict) -> tuple[bool, bool]:
    """Those that match and lose before those that don't match."""
    return not verdict.chosen, not verdict.why.startswith("it matches, too")


def _own(selection: Selection) -> str:
    """Why it is this one, without why not the others, which follows in full."""
    return selection.why.partition("; ")[0]


def _verdict(
    policy: MigrationPolicy,
    chosen: str | None,
    candidate: Candidate | None,
    winner: Candidate | None,
    migration: VMMigration,
) -> Verdict:
    name = policy.metadata.name
    if name == chosen:
        return Verdict(policy=name, chosen=True, why="")
    return Verdict(policy=name, chosen=False, why=_why_not(policy, candidate, winner, migration))


def _why_not(
    policy: MigrationPolicy, candidate: Candidate | None, winner: Candidate | None, migration: VMMigration
) -> str:
    referred = migration.spec.policy_ref is not None
    if candidate is None:
        if policy.spec.global_default:
            return "the global default, for what nothing else selects"
        return "it has no selector: it applies only where spec.policyRef names it"
    if candidate.match.unmet is not None:
        return f"it needs {candidate.match.unmet}"
    if candidate.match.namespace_unknown:
        return "it may match: the labels of the namespace can't be read"
    if referred:
        return "it matches, too, but spec.policyRef goes before selectors"
    return (
        f"it matches, too, but goes after {winner.name}: {candidate.behind(winner)}"
        if winner
        else "it matches"
    )
