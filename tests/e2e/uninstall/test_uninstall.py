"""Nothing of vmferry is left after an uninstallation, whoever lived when it began, and the guests run on.

By the plugin, and by the commands of docs/upgrades.md.
"""

import libvirt
import pytest
from asked_migration import NAMESPACE, phase_is
from hopeless import HOPELESS_GUEST, SLOW_POST_COPY

from vmferry_api.migrations import Phase
from vmferry_lab.components import OPERATOR_NAME, agent_name
from vmferry_lab.until import until

PATIENCE = 90.0
AGENTS = (agent_name("node-a"), agent_name("node-b"))
ENDLESS = {**SLOW_POST_COPY, "progressTimeout": "0s"}
POST_COPY = {
    **ENDLESS,
    "bandwidth": {"perMigration": "50Mi", "postCopy": "2Mi"},
    "steps": [{"after": {"passes": 2}, "switchToPostCopy": {}}],
}
"""The post-copy takes half a minute: long enough for the plugin to look."""


@pytest.fixture
def runs(migrate, policy):
    """Starts the migration of a guest, and waits until it runs."""

    def start(guest, **spec):
        migration = migrate(guest.name, policyRef={"name": policy(**(spec or ENDLESS))})
        migration.passes(2)
        return migration

    return start


@pytest.fixture
def waits(lab, start_guest, migrate, policy):
    """Starts a migration that waits for the agent of a node that has none."""

    def start():
        lab.kubectl.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-c"}})
        made = migrate(start_guest(**HOPELESS_GUEST).name, targetNode="node-c", policyRef={"name": policy()})
        return made.wait("its finalizer", lambda each: each.metadata.finalizers)

    return start


def abort(guest, host):
    """As a person does, by virsh domjobabort."""
    connection = libvirt.open(host.uri)
    connection.lookupByUUIDString(guest.uuid).abortJob()
    connection.close()


def assert_done(done):
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" is gone, with all its objects") == 2


def test_what_is_idle_goes_at_once(start_guest, migrate, policy, installation, assert_runs_only_on):
    guest = start_guest(dirty_rate=5_000_000)
    assert migrate(guest.name, policyRef={"name": policy()}).ends().status.phase == Phase.SUCCEEDED
    preview = installation.uninstall()
    assert (preview.returncode, "VMMigrations: 1, not over: 0" in preview.stdout) == (0, True)
    assert "nothing is removed yet: add --yes" in preview.stdout
    assert installation.as_documented(0).count(" is gone, with all its objects") == 2
    installation.is_gone()
    assert_runs_only_on(guest, "node-b")


def test_plain_kubectl_is_enough_while_the_operator_runs(
    start_guest, runs, waits, installation, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    runs(guest)
    waits()
    installation.as_documented(1)
    installation.is_gone()
    assert_runs_only_on(guest, "node-a")


def test_plain_kubectl_lets_go_what_an_agent_has_ended_without_the_operator(
    start_guest, runs, installation, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    migration = runs(guest)
    installation.lab.components.stop(OPERATOR_NAME, kill=True)
    migration.delete()
    migration.wait("its end by the agent", lambda each: each.status.attempts[-1].end)
    installation.as_documented(2, NAME=migration.name, NAMESPACE=NAMESPACE)
    installation.as_documented(1)
    installation.is_gone()
    assert_runs_only_on(guest, "node-a")


def test_one_that_runs_is_refused_and_then_cancelled(start_guest, runs, installation, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration = runs(guest)
    for words in ((), ("--yes",)):
        refused = installation.uninstall(*words)
        assert refused.returncode == 1
        told = f"not over: default/{migration.name}; wait for that, or add --cancel-running"
        assert told in refused.stderr
    assert migration.get().metadata.deletion_timestamp is None
    assert f"{guest.name} was seen last: Running" in installation.uninstall("--cancel-running").stdout
    assert_done(installation.uninstall("--yes", "--cancel-running"))
    installation.delete_manifests()
    installation.is_gone()
    assert_runs_only_on(guest, "node-a")


def test_without_an_operator_the_agents_end_what_runs_and_the_plugin_lets_it_go(
    start_guest, runs, waits, installation, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    runs(guest)
    waits()
    installation.lab.components.stop(OPERATOR_NAME, kill=True)
    done = installation.uninstall("--yes", "--cancel-running")
    assert_done(done)
    assert done.stdout.count("let go without the operator") == 2
    installation.delete_manifests()
    installation.is_gone()
    assert_runs_only_on(guest, "node-a")


def test_without_an_operator_post_copy_is_waited_for(start_guest, runs, installation, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration = runs(guest, **POST_COPY)
    migration.wait("post-copy", phase_is(Phase.POST_COPY))
    installation.lab.components.stop(OPERATOR_NAME, kill=True)
    preview = installation.uninstall("--cancel-running")
    assert "in post-copy, which nothing can abort" in preview.stdout
    assert_done(installation.uninstall("--yes", "--cancel-running"))
    installation.delete_manifests()
    installation.is_gone()
    assert_runs_only_on(guest, "node-b")


def test_what_manifests_that_are_deleted_first_leave_behind_is_mended(
    start_guest, runs, waits, installation, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    migration = runs(guest)
    waits()
    for name in (OPERATOR_NAME, *AGENTS):
        installation.lab.components.stop(name, kill=True)
    installation.delete_manifests("--wait=false")
    until("the object to be stuck", lambda: migration.get().metadata.deletion_timestamp, timeout=PATIENCE)
    stuck = installation.uninstall("--yes")
    assert stuck.returncode == 1
    assert "nobody can tell how these end" in stuck.stderr
    assert f"virsh domjobabort {guest.name}" in stuck.stderr
    abort(guest, installation.lab.host("node-a"))
    assert_done(installation.uninstall("--yes", "--abandon"))
    installation.is_gone()
    assert_runs_only_on(guest, "node-a")
