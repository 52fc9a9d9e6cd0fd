"""Guests whose memory can be recognized, certificates that can be changed, and a third party on the wire."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asked_migration import Migration
from certificates import Certificates
from wire import Wire

from vmferry_api.migrations import Storage
from vmferry_lab.components import agent_name
from vmferry_lab.guests.guest import Guest
from vmferry_lab.guests.image import Pattern
from vmferry_lab.hosts.node import NodeHost
from vmferry_lab.lab import Lab

MIB = 2**20


@pytest.fixture
def nodes(lab: Lab) -> Iterator[dict[str, NodeHost]]:
    """Both hosts; they are as before when the test is over, and before its guests and objects are removed."""
    found = {name: lab.node(name) for name in ("node-a", "node-b")}
    own = [Certificates(node) for node in found.values()]
    kept = [each.read() for each in own]
    yield found
    for node in found.values():
        node.restore()
        lab.components.start(agent_name(node.name))
    for each, files in zip(own, kept, strict=True):
        each.write(files)
        each.reload()


@pytest.fixture
def recognizable(nodes: dict[str, NodeHost], start_guest: Callable[..., Guest]) -> Callable[..., Guest]:
    """Starts a guest that has filled 32 MiB with pages that are nowhere else, and leaves them so."""

    def start(**spec: object) -> Guest:
        given = {"memory": 64 * MIB, "working_set": 32 * MIB, "cold": 8 * MIB, "dirty_rate": 0}
        return start_guest(**{**given, "pattern": Pattern.INCOMPRESSIBLE, **spec})

    return start


@pytest.fixture
def move(policy: Callable[..., str], migrate: Callable[..., Migration]) -> Callable[..., Migration]:
    """Lets a guest migrate by a policy of these words; `storage` is the migration's."""

    def ask(guest: Guest, *, storage: Storage = Storage.SHARED, **spec: object) -> Migration:
        return migrate(guest.name, storage=storage, policyRef={"name": policy(**spec)})

    return ask


@pytest.fixture
def wire(nodes: dict[str, NodeHost], tmp_path: Path) -> Wire:
    """All that node-b sends and is sent by other hosts."""
    return Wire(nodes["node-b"], tmp_path / "wire")
