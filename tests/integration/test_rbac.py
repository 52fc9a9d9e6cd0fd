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
@pytest.mark.parametrize(("user", "may"), [(AGENT, {"get", "create", "update"}), (OPERATOR, {"get"})])
def test_agents_keep_their_leases_in_their_own_namespace_only_and_the_operator_reads_them(
    control_plane, user, may, namespace
):
    kubectl = Kubectl(control_plane.kubeconfig(user))
    rights = {verb for verb in VERBS if _may(kubectl, verb, "leases", ["-n", namespace])}
    assert rights == (may if namespace == "vmferry-system" else set())


def _may(kubectl: Kubectl, verb: str, resource: str, words: list[str]) -> bool:
    try:
        return kubectl.run("auth", "can-i", verb, resource, *words).strip() == "yes"
    except KubectlError:
        return False  # "no" is an exit code
