"""Operator and agents have the rights that they need, and no other."""

import pytest

from vmferry_lab.controlplane.control_plane import AGENT, OPERATOR
from vmferry_lab.kubectl import Kubectl, KubectlError

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")

RIGHTS = {
    AGENT: {"vmmigrations": {"get", "list", "watch"}, "vmmigrations/status": {"patch"}},
    OPERATOR: {
        "vmmigrations": {"get", "list", "watch", "patch", "delete"},
        "vmmigrations/status": {"patch"},
        "migrationpolicies": {"get", "list", "watch"},
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


@pytest.mark.parametrize("user", RIGHTS)
@pytest.mark.parametrize("resource", RESOURCES)
def test_each_user_has_exactly_these_rights(control_plane, user, resource):
    kubectl = Kubectl(control_plane.kubeconfig(user))
    name, _, subresource = resource.partition("/")
    words = ["-A", "--subresource", subresource] if subresource else ["-A"]
    assert {verb for verb in VERBS if _may(kubectl, verb, name, words)} == RIGHTS[user].get(resource, set())


@pytest.mark.parametrize("namespace", ["vmferry-system", "kube-node-lease"])
@pytest.mark.parametrize("user", [AGENT, OPERATOR])
def test_leases_are_kept_in_their_own_namespace_only(control_plane, user, namespace):
    kubectl = Kubectl(control_plane.kubeconfig(user))
    rights = {verb for verb in VERBS if _may(kubectl, verb, "leases", ["-n", namespace])}
    assert rights == ({"get", "create", "update"} if namespace == "vmferry-system" else set())


def _may(kubectl: Kubectl, verb: str, resource: str, words: list[str]) -> bool:
    try:
        return kubectl.run("auth", "can-i", verb, resource, *words).strip() == "yes"
    except KubectlError:
        return False  # "no" is an exit code
