"""The policies that select migrations, held against one of them, the first in rank first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_operator.decisions.selectors import Match, match
from vmferry_operator.decisions.wording import shortened_name


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A policy with a selector, held against a migration."""

    policy: MigrationPolicy
    match: Match

    @property
    def name(self) -> str:
        """The policy's."""
        return self.policy.metadata.name

    @property
    def priority(self) -> int:
        """The policy's."""
        return self.policy.spec.priority

    @property
    def rank(self) -> tuple[int, bool, int, int, str]:
        """The lowest wins: by priority, then the more specific selector, then the name."""
        specificity = self.match.specificity
        return (
            -self.priority,
            not specificity.exact_name,
            -specificity.parts,
            -specificity.requirements,
            self.name,
        )

    def behind(self, winner: "Candidate") -> str:
        """What puts it after the winner, in words."""
        if self.match.namespace_unknown:
            return f"priority {self.priority}, if its namespace matches"
        if self.priority < winner.priority:
            return f"priority {self.priority}"
        if self.match.specificity < winner.match.specificity:
            return f"priority {self.priority}, less specific"
        return f"priority {self.priority}, as specific, later by name"


def ranked(
    migration: VMMigration, policies: Sequence[MigrationPolicy], namespace_labels: Mapping[str, str] | None
) -> list[Candidate]:
    """All policies with a selector, whether it matches or not."""
    held = [
        Candidate(policy=policy, match=match(policy.spec.selector, migration, namespace_labels))
        for policy in policies
        if policy.spec.selector is not None
    ]
    return sorted(held, key=lambda candidate: candidate.rank)


def needs(candidates: Sequence[Candidate]) -> list[str]:
    """What those that do not match ask for in vain, in words."""
    return [
        f"{shortened_name(each.name)} needs {each.match.unmet}"
        for each in candidates
        if each.match.unmet is not None
    ]
