"""Migrations under way on hosts that can be hurt; whatever a test does to a host is taken back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from asked_migration import Migration, in_post_copy_on_both
from hopeless import HOPELESS_GUEST, SLOW_POST_COPY

from vmferry_api.migrations import VMMigration
from vmferry_lab.components import agent_name
from vmferry_lab.guests.guest import Guest
from vmferry_lab.hosts.node import NodeHost
from vmferry_lab.lab import Lab

POST_COPY = {"after": {"passes": 2}, "switchToPostCopy": {}}


@dataclass
class UnderWay:
    """A guest that is leaving node-a for node-b."""

    guest: Guest
    migration: Migration

    def sees(self, what: str, holds: Callable[[VMMigration], object]) -> VMMigration:
        """Wait until something holds of the object."""
        return self.migration.wait(what, holds)

    def hurries(self) -> None:
        """Let what is left of its post-copy flow fast: all that was to be seen while it lasts has been seen."""
        self.migration.patch_spec(overrides={"bandwidth": {"postCopy": "1Gi"}})


@pytest.fixture
def source(nodes: dict[str, NodeHost]) -> NodeHost:
    """Where guests start."""
    return nodes["node-a"]


@pytest.fixture
def target(nodes: dict[str, NodeHost]) -> NodeHost:
    """Where they go."""
    return nodes["node-b"]


@pytest.fixture
def nodes(lab: Lab) -> Iterator[dict[str, NodeHost]]:
    """Both hosts; they are as before when the test is over."""
    found = {name: lab.node(name) for name in ("node-a", "node-b")}
    yield found
    for node in found.values():
        node.restore()
        lab.components.start(agent_name(node.name))


@pytest.fixture
def pre_copy(
    start_guest: Callable[..., Guest],
    policy: Callable[..., str],
    migrate: Callable[..., Migration],
    nodes: dict[str, NodeHost],
) -> Callable[..., UnderWay]:
    """Brings a migration into a pre-copy that does not end by itself."""

    def begin(passes: int = 2, **words: Any) -> UnderWay:
        started = start_guest(**HOPELESS_GUEST)
        name = policy(**{**SLOW_POST_COPY, **words})
        it = UnderWay(started, migrate(started.name, policyRef={"name": name}))
        it.migration.passes(passes)
        return it

    return begin


@pytest.fixture
def post_copy(pre_copy: Callable[..., UnderWay]) -> Callable[..., UnderWay]:
    """Brings a migration into a post-copy that takes a while."""

    def begin(**words: Any) -> UnderWay:
        it = pre_copy(steps=[POST_COPY], **words)
        it.sees("to be in post-copy on both hosts", in_post_copy_on_both)
        return it

    return begin
