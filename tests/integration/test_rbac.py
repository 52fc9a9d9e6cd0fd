"""Operator and agents have the rights that they need, and no other."""

import pytest

from vmferry_lab.controlplane.control_plane import OPERATOR
from vmferry_lab.kubectl import Kubectl, KubectlError
from vmferry_lab.until import until

AGENT = "agent"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")

RIGHTS = {
    AGENT: {"vmmigrations": {"get", "list", "watch"}, "vmmigrations/status": {"patch"}},
    OPERATOR: {
        "vmmigrations": {"get", "list", "watch", "patch", "delete"},
        "vmmigrations/status": {"patch"},
        "migrationpolicies": {"list", "watch"},
        "migrationpolicies/status": {"patch"},
        "nodes": {"get"},
        "namespaces": {"get"},
        "events.events.k8s.io": {"create", "patch"},
    },
}
RESOURCES = (
    "vmmigrations",
    "vmmigrations/status",
    "migrationpolicies",
    "migrationpolicies/status",
    "nodes",
    "namespaces",
    "leases",
    "events",
    "events.events.k8s.io",
    "secrets",
)


def kubeconfig_of(control_plane, user):
    return control_plane.agent_kubeconfig("node-a") if user == AGENT else control_plane.kubeconfig(user)


@pytest.mark.parametrize("user", RIGHTS)
@pytest.mark.parametrize("resource", RESOURCES)
def test_each_user_has_exactly_these_rights(control_plane, user, resource):
    kubectl = Kubectl(kubeconfig_of(control_plane, user))
    name, _, subresource = resource.partition("/")
    words = ["-A", "--subresource", subresource] if subresource else ["-A"]
    assert {verb for verb in VERBS if _may(kubectl, verb, name, words)} == RIGHTS[user].get(resource, set())


@pytest.mark.parametrize("namespace", ["vmferry-system", "kube-node-lease"])
@pytest.mark.parametrize("user", [AGENT, OPERATOR])
def test_leases_are_kept_in_their_own_namespace_only(control_plane, user, namespace):
    kubectl = Kubectl(kubeconfig_of(control_plane, user))
    rights = {verb for verb in VERBS if _may(kubectl, verb, "leases", ["-n", namespace])}
    assert rights == ({"get", "create", "update"} if namespace == "vmferry-system" else set())


def _may(kubectl: Kubectl, verb: str, resource: str, words: list[str]) -> bool:
    try:
        return kubectl.run("auth", "can-i", verb, resource, *words).strip() == "yes"
    except KubectlError:
        return False  # "no" is an exit code


NAMESPACED = {"get", "list", "watch"}
WRITES = {"create", "update", "patch", "delete"}


@pytest.fixture(scope="module")
def people(control_plane):
    """Users that have a role in one namespace, Kubernetes' own or ours, and two that have ours in the cluster."""
    kubectl = Kubectl(control_plane.kubeconfig())
    kubectl.run("create", "namespace", "team")
    for role in ("view", "edit", "admin", "vmferry-edit"):
        kubectl.run(
            "create", "rolebinding", role, "-n", "team", f"--clusterrole={role}", f"--user={role}-of-team"
        )
    for role in ("vmferry-view", "vmferry-admin"):
        kubectl.run("create", "clusterrolebinding", f"test-{role}", f"--clusterrole={role}", f"--user={role}")
    words = ["-n", "team", "--as", "edit-of-team"]
    until("roles to be added to edit", lambda: _may(kubectl, "get", "vmmigrations", words), timeout=60)
    yield kubectl
    kubectl.run("delete", "namespace", "team", "--wait=false")
    kubectl.run("delete", "clusterrolebinding", "test-vmferry-view", "test-vmferry-admin")


@pytest.mark.parametrize(
    ("user", "resource", "rights"),
    [
        ("view-of-team", "vmmigrations", NAMESPACED),
        ("edit-of-team", "vmmigrations", NAMESPACED),  # a migration may be of any VM
        ("admin-of-team", "vmmigrations", NAMESPACED),
        ("vmferry-edit-of-team", "vmmigrations", NAMESPACED | WRITES),
        ("vmferry-view", "vmmigrations", NAMESPACED),
        ("vmferry-view", "migrationpolicies", NAMESPACED),
        ("vmferry-admin", "migrationpolicies", NAMESPACED | WRITES),
        ("vmferry-admin", "vmmigrations", set()),
    ],
)
def test_people_have_the_rights_of_their_roles(people, user, resource, rights):
    words = ["-n", "team"] if resource == "vmmigrations" else []
    assert {verb for verb in VERBS if _may(people, verb, resource, [*words, "--as", user])} == rights


@pytest.mark.parametrize("user", ["view-of-team", "edit-of-team", "admin-of-team", "vmferry-edit-of-team"])
def test_roles_in_a_namespace_reach_no_further(people, user):
    assert not _may(people, "list", "vmmigrations", ["-n", "default", "--as", user])
    assert not _may(people, "patch", "migrationpolicies", ["--as", user])
    subresource = ["-n", "team", "--subresource", "status", "--as", user]
    assert not _may(people, "patch", "vmmigrations", subresource)
