"""Components of this version and of the one before work with each other, and are exchanged in mid-migration."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from asked_migration import NAMESPACE, PATIENCE, Migration
from hopeless import HOPELESS, HOPELESS_GUEST
from kubernetes import client

from vmferry_api import GROUP, VERSION
from vmferry_api.migrations import AttemptOutcome, Phase, VMMigration
from vmferry_api.policies import MigrationPolicy
from vmferry_lab import processes
from vmferry_lab.components import OPERATOR_NAME, agent_name, packages_of
from vmferry_lab.lab import MANIFESTS, Lab
from vmferry_lab.until import until

SOURCE, TARGET = agent_name("node-a"), agent_name("node-b")
AGENTS = (SOURCE, TARGET)
ALL = (OPERATOR_NAME, *AGENTS)
(BEFORE,) = (Path(__file__).parents[1] / "released").glob("vmferry-*.whl")
"""The release before this version."""
FIRST = {"after": {"stalled": "1s"}, "setMaxDowntime": "200ms"}
ONE_STEP = {
    **HOPELESS,
    "bandwidth": {"perMigration": "25Mi"},
    "stallingLimit": "1s",
    "progressTimeout": "0s",
    "steps": [FIRST],
}
"""The guest needs 2.6 s: it takes one step, and goes on until it is given another one."""


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """Which components are of the release before."""

    reason: str
    old: tuple[str, ...]
    and_back: bool = False
    """Whether the guest is migrated back afterwards, so that source and target change places."""


MIXED = [
    Mixed(reason="an older operator with agents of this version", old=(OPERATOR_NAME,)),
    Mixed(reason="an operator of this version with older agents", old=AGENTS),
    Mixed(reason="an older agent on the source, and then on the target", old=(SOURCE,), and_back=True),
]


@dataclass(frozen=True, kw_only=True)
class Rolling:
    """In which order the components are exchanged, all of them."""

    reason: str
    order: tuple[str, ...]
    back: bool = False


ROLLING = [
    Rolling(reason="up, the operator first", order=(OPERATOR_NAME, *AGENTS)),
    Rolling(reason="up, the agents first", order=(SOURCE, TARGET, OPERATOR_NAME)),
    Rolling(reason="down, the operator first", order=(OPERATOR_NAME, *AGENTS), back=True),
    Rolling(reason="down, the agents first", order=(TARGET, SOURCE, OPERATOR_NAME), back=True),
]


@dataclass
class Versions:
    """Runs the lab's components at either version."""

    lab: Lab
    directory: Path
    lapses: bool = True
    """Whether the Lease of an operator that is exchanged stays, as it does in a cluster."""

    def run(self, *names: str, old: bool) -> None:
        """Exchange these, one after the other; each runs before the next is touched."""
        for name in names:
            self.lab.components.stop(name)
            if name == OPERATOR_NAME and not self.lapses:
                self.lab.kubectl.run("delete", "--ignore-not-found", *_LEASE)
            before = self._renewed()
            self.lab.components.start(name, wheel=BEFORE if old else None)
            self.lab.components.health(name)
            if name == OPERATOR_NAME:  # of an older one the Lease must lapse first, if it is there
                until(
                    "it to lead",
                    lambda last=before: self._renewed() not in {None, last},
                    timeout=2 * PATIENCE,
                )
            (process,) = processes.of_component(self.lab.directory, name)
            assert (str(BEFORE) in process.environ().get("PYTHONPATH", "")) is old

    def _renewed(self) -> str | None:
        """When the operator's Lease was last renewed; None: nobody holds it."""
        found = self.lab.kubectl.run("get", "--ignore-not-found", "-o", "json", *_LEASE)
        spec = json.loads(found or "{}").get("spec", {})
        return spec["renewTime"] if spec.get("holderIdentity") else None

    def api(self, *, old: bool) -> None:
        """Apply the CRDs of either version."""
        if not old:
            self.lab.kubectl.run(*_APPLY, "-k", str(MANIFESTS / "base"))
            return
        generate = [sys.executable, "-m", "vmferry_api.crd", str(self.directory)]
        subprocess.run(generate, check=True, capture_output=True, env=packages_of(BEFORE))
        self.lab.kubectl.run(*_APPLY, "-f", str(self.directory))


_APPLY = ("apply", "--server-side", "--force-conflicts")
_LEASE = ("lease", "vmferry-operator", "-n", "vmferry-system")


@pytest.fixture
def versions(lab: Lab, tmp_path: Path) -> Iterator[Versions]:
    """All is of this version again after the test, and after its migrations are gone."""
    found = Versions(lab, tmp_path)
    yield found
    found.api(old=False)
    found.lapses = False  # how long an older operator's stays is seen where versions are exchanged in earnest
    found.run(*ALL, old=False)


@pytest.fixture
def under_way(versions, start_guest, policy, migrate) -> Callable[..., tuple]:
    """Starts a migration that takes its first step, and needs another one to end; of a new guest or this one."""

    def start(guest=None, **route):
        guest = guest or start_guest(**HOPELESS_GUEST)
        name = policy(**ONE_STEP)
        return guest, name, migrate(guest.name, policyRef={"name": name}, **route)

    return start


def let_end(lab: Lab, name: str, migration: Migration) -> VMMigration:
    """Give the policy the step that the migration needs."""
    steps = [FIRST, {"after": {"stalled": "1s"}, "setMaxDowntime": "8s"}]
    lab.kubectl.run("patch", "migpol", name, "--type=merge", "-p", json.dumps({"spec": {"steps": steps}}))
    return migration.ends(timeout=2 * PATIENCE)


def assert_told_whole(done: VMMigration) -> None:
    """It has succeeded at its first attempt, by both steps, with all that was done on record."""
    assert done.status.phase == Phase.SUCCEEDED
    assert [(each.number, each.outcome) for each in done.status.attempts] == [(1, AttemptOutcome.COMPLETED)]
    assert [(each.step, each.outcome) for each in done.status.steps] == [(1, "Applied"), (2, "Applied")]
    assert all(each.effective is not None and each.attempt == 1 for each in done.status.steps)
    assert [each.revision for each in done.status.steps] == [2, done.status.desired.revision]
    assert done.status.applied.revision == done.status.desired.revision
    assert done.status.applied.errors == []
    assert done.unreadable == ()


def first_step(migration: Migration) -> VMMigration:
    """Wait until it is in force."""
    return migration.wait(
        "the first step", lambda each: each.status.steps and each.status.steps[0].outcome == "Applied"
    )


def reports_on(migration: Migration) -> None:
    """Wait until its source's agent tells of two more passes."""
    migration.passes(migration.get().status.progress.memory_pass + 2)


@pytest.mark.parametrize("case", MIXED, ids=lambda case: case.reason)
def test_a_migration_escalates_to_its_end(case, versions, under_way, assert_runs_only_on):
    versions.run(*case.old, old=True)
    guest, name, migration = under_way()
    first_step(migration)
    assert_told_whole(let_end(versions.lab, name, migration))
    assert_runs_only_on(guest, "node-b")
    if case.and_back:
        _, name, migration = under_way(guest, sourceNode="node-b", targetNode="node-a")
        first_step(migration)
        assert_told_whole(let_end(versions.lab, name, migration))
        assert_runs_only_on(guest, "node-a")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", ROLLING, ids=lambda case: case.reason)
def test_all_are_exchanged_in_mid_migration(case, api, versions, under_way, assert_runs_only_on):
    versions.api(old=not case.back)
    versions.run(*ALL, old=not case.back)
    guest, name, migration = under_way()
    first_step(migration)
    if not case.back:
        versions.api(old=False)
    for component in case.order:
        versions.run(component, old=case.back)
        reports_on(migration)
    if case.back:  # last: what a newer component writes must be in the schema
        versions.api(old=True)
    assert_still_valid(api, name, migration)
    assert_told_whole(let_end(versions.lab, name, migration))
    assert_runs_only_on(guest, "node-b")


def assert_still_valid(api, name: str, migration: Migration) -> None:
    """What was stored under the other version's CRDs is taken by these, and read."""
    where = (GROUP, VERSION, NAMESPACE, "vmmigrations", migration.name)

    def written_again() -> bool:
        raw = api.get_namespaced_custom_object(*where)
        try:
            api.replace_namespaced_custom_object(*where, raw, dry_run="All", field_validation="Strict")
        except client.ApiException as error:
            if error.status == 409:  # an agent has just reported
                return False
            raise
        return VMMigration.read(raw).unreadable == ()

    until(f"{migration.name} to be taken as it is", written_again, timeout=PATIENCE)
    policy = api.get_cluster_custom_object(GROUP, VERSION, "migrationpolicies", name)
    api.replace_cluster_custom_object(
        GROUP, VERSION, "migrationpolicies", name, policy, dry_run="All", field_validation="Strict"
    )
    assert MigrationPolicy.read(policy).unreadable == ()
