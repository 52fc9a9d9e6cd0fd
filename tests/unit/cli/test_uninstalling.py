"""Who lets a migration go when vmferry is uninstalled, and what is said of it."""

from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

import pytest
from click.testing import CliRunner
from migrations_shown import RUNNING, at, migration, told

from kubectl_vmferry.cluster.objects import read_in_part
from kubectl_vmferry.commands import uninstall
from kubectl_vmferry.uninstalling import Fate, Living, fate, is_refused, living, where_to_look
from kubectl_vmferry.uninstalling import told as in_words
from strange_statuses import STATUSES, STRANGE, changed, extremes, places, stored
from vmferry_api import FINALIZER

HELD = {"finalizers": [FINALIZER], "deletionTimestamp": told(20)}
RUNS = {"attempts": [{"number": 1, "start": told(1)}]}
ENDED = {"attempts": [{"number": 1, "start": told(1), "end": told(9), "outcome": "Cancelled"}]}
SUSPENDED = {
    "attempts": [{**ENDED["attempts"][0], "suspended": True}],
    "source": {"vm": {"state": "Paused", "reason": "User"}},
}
POST_COPY = {**RUNS, "phase": "PostCopy", "source": {"vm": {"state": "Paused", "reason": "PostCopy"}}}
ALL = Living(operator=True, nodes=frozenset({"node-a", "node-b"}))
AGENTS = Living(operator=False, nodes=frozenset({"node-a", "node-b"}))
TARGET = Living(operator=False, nodes=frozenset({"node-b"}))
NONE = Living(operator=False, nodes=frozenset())


@dataclass(frozen=True, kw_only=True)
class Case:
    """A migration that is deleted, who lives, and what it waits for."""

    reason: str
    status: dict[str, Any]
    alive: Living
    want: Fate


CASES = [
    Case(reason="the operator lives, and it runs", status=RUNS, alive=ALL, want=Fate.OPERATOR),
    Case(
        reason="the operator lives, and it is over", status={"phase": "Failed"}, alive=ALL, want=Fate.OPERATOR
    ),
    Case(reason="it has never begun", status={}, alive=NONE, want=Fate.LET_GO),
    Case(
        reason="its start is ordered, and none is written down",
        status={"desired": RUNNING["desired"]},
        alive=NONE,
        want=Fate.LET_GO,
    ),
    Case(reason="its attempt has ended", status=ENDED, alive=NONE, want=Fate.LET_GO),
    Case(reason="it is over", status={**ENDED, "phase": "Cancelled"}, alive=NONE, want=Fate.LET_GO),
    Case(reason="it runs, and its agent aborts it", status=RUNS, alive=AGENTS, want=Fate.AGENT),
    Case(reason="post-copy goes on", status=POST_COPY, alive=AGENTS, want=Fate.AGENT),
    Case(reason="it runs, and its source's agent is dead", status=RUNS, alive=TARGET, want=Fate.UNKNOWN),
    Case(reason="post-copy, and all are dead", status=POST_COPY, alive=NONE, want=Fate.UNKNOWN),
    Case(reason="its agent has yet to let the guest run", status=SUSPENDED, alive=AGENTS, want=Fate.AGENT),
    Case(reason="nobody is there to let the guest run", status=SUSPENDED, alive=NONE, want=Fate.UNKNOWN),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason)
def test_one_that_is_held_waits_for_whoever_can_tell_its_end(case: Case) -> None:
    assert fate(migration(case.status, **HELD), case.alive, at(30)) is case.want


def test_what_vmferry_does_not_hold_goes() -> None:
    mine = migration(RUNS, finalizers=["example.com/other"], deletionTimestamp=told(20))
    assert fate(mine, NONE, at(30)) is Fate.GOES


@pytest.mark.parametrize(
    ("refused", "asked"),
    [
        (True, migration(RUNS)),
        (True, migration({"phase": "Pending"})),
        (False, migration({"phase": "Succeeded"})),
        (False, migration(RUNS, {"cancel": True})),
        (False, migration(RUNS, **HELD)),
    ],
    ids=["runs", "waits", "is over", "is being cancelled", "is being deleted"],
)
def test_only_what_nobody_has_given_up_stands_in_the_way(refused, asked) -> None:
    assert is_refused(asked) is refused


def lease(name: str, renewed: float, holder: str = "h") -> dict[str, Any]:
    spec = {"holderIdentity": holder, "renewTime": told(renewed), "leaseDurationSeconds": 40}
    return {"metadata": {"name": name}, "spec": spec}


def test_who_lives_is_told_by_leases_that_are_renewed_and_held() -> None:
    leases = [lease("vmferry-agent-node-a", 25), lease("vmferry-agent-node-b", -30), lease("other", 29)]
    assert living([*leases, lease("vmferry-operator", 29)], at(30)) == Living(
        operator=True, nodes=frozenset({"node-a"})
    )
    given_back = lease("vmferry-operator", 29, holder="")
    assert living([given_back], at(30)) == Living(operator=False, nodes=frozenset())


def test_one_in_post_copy_is_told_with_where_its_vm_was_seen_and_what_nobody_may_do() -> None:
    mine = migration(POST_COPY, **HELD)
    assert in_words(mine, NONE, at(30)) == (
        "default/db-1-to-node-b: PostCopy; db-1 was seen last: Paused (PostCopy) on node-a, not seen on node-b; "
        "in post-copy, which nothing can abort; neither the operator nor the agent of node-a runs, so that "
        "nobody can tell the end"
    )
    assert "on node-a: `virsh domjobinfo db-1` tells whether it migrates" in where_to_look(mine)


UNREAD = changed(stored(STATUSES["failed"], **HELD), (("status", "attempts", 0, "number"), 0))


@pytest.mark.parametrize("alive", [ALL, AGENTS, NONE])
def test_of_one_whose_status_can_t_be_read_nobody_can_tell_the_end_whoever_lives(alive: Living) -> None:
    mine = read_in_part(UNREAD)
    assert (fate(mine, alive, at(30)), is_refused(mine)) == (Fate.UNKNOWN, False)
    assert in_words(mine, alive, at(30)) == (
        "default/m: nobody can tell how it stands: status.attempts[0].number: Input should be greater than or "
        "equal to 1"
    )
    assert "on node-a: `virsh domjobinfo db-1` tells whether it migrates" in where_to_look(mine)


@pytest.mark.parametrize("name", STATUSES)
def test_whatever_a_status_says_it_is_told_and_can_be_let_go(name: str) -> None:
    raw = stored(STATUSES[name], **HELD)
    for change in (*extremes(raw), *product(places(raw["status"], ("status",)), STRANGE[:3])):
        mine = read_in_part(changed(raw, change))
        assert in_words(mine, NONE, at(30))
        assert fate(mine, NONE, at(30)) in {Fate.LET_GO, Fate.UNKNOWN}
        assert where_to_look(mine)
        assert is_refused(mine) is False


class Installed:
    """Stands in for a cluster without operator and agents with one migration, and for what is removed."""

    def __init__(self, migration: dict[str, Any]) -> None:
        self.left = [migration]
        self.kinds = {f"{plural}.vmferry.io" for plural in ("vmmigrations", "migrationpolicies")}

    def now(self) -> datetime:
        return at(30)

    def leases(self, _namespace: str) -> list[dict[str, Any]]:
        return []

    def migrations(self, *, everywhere: bool) -> list[dict[str, Any]]:
        return self.left if everywhere else []

    def crds(self) -> list[dict[str, Any]]:
        return [{"metadata": {"name": name}} for name in self.kinds]

    def policies(self) -> list[object]:
        return []

    def let_go(self, raw: dict[str, Any]) -> bool:
        self.left.remove(raw)
        return True

    def delete_crd(self, name: str) -> None:
        self.kinds.remove(name)


@pytest.fixture
def uninstalling(monkeypatch: pytest.MonkeyPatch):
    """Runs the command where there is a migration whose status can't be read."""
    installed = Installed(UNREAD)
    for name in ("connect", "Cluster", "Removal"):
        monkeypatch.setattr(uninstall, name, lambda _: installed)
    return lambda *flags: (CliRunner().invoke(uninstall.uninstall_command, [*flags]), installed)


def test_one_whose_status_can_t_be_read_is_told_and_stands_in_the_way_until_it_is_abandoned(
    uninstalling,
) -> None:
    preview, _ = uninstalling()
    assert "default/m: nobody can tell how it stands: status.attempts[0].number" in preview.output
    refused, installed = uninstalling("--yes")
    assert (refused.exit_code, len(installed.left), len(installed.kinds)) == (1, 1, 2)
    assert "use a plugin of the cluster's version" in refused.output


def test_one_whose_status_can_t_be_read_is_let_go_by_abandon(uninstalling) -> None:
    done, installed = uninstalling("--yes", "--abandon")
    assert (done.exit_code, installed.left, installed.kinds) == (0, [], set())
    assert "default/m: let go without the operator" in done.output
