"""Whether admission holds operator and agents to what is theirs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from kubectl_vmferry.diagnosis.findings import Finding, error, note, ok, warning

NAMES = ("vmferry-leases", "vmferry-migration-status", "vmferry-migrations", "vmferry-policy-status")
"""Of the policies and of their bindings in manifests/base."""
VMS_BY_NAMESPACE = "vmferry-vms-by-namespace"
"""Of the component's policy and of its binding."""
_SUBJECT = "admission"


def admission(
    policies: Sequence[Mapping[str, Any]], bindings: Sequence[Mapping[str, Any]], namespace: str
) -> Iterator[Finding]:
    """Whether the policies are in force, by their names: what is in them is not looked at."""
    there = {each["metadata"]["name"] for each in policies}
    bound = {
        each["spec"]["policyName"]
        for each in bindings
        if "Deny" in each["spec"].get("validationActions", []) and not each["spec"].get("matchResources")
    }
    yield _of_the_base(there & bound, policies, namespace)
    if VMS_BY_NAMESPACE in there & bound:
        yield note(
            _SUBJECT,
            f"{VMS_BY_NAMESPACE} is in force: a namespace moves no VM but those that its annotation "
            "vmferry.io/vms names",
            "docs/security.md#vms-by-namespace says how to switch it off",
        )


def _of_the_base(in_force: Set[str], policies: Sequence[Mapping[str, Any]], namespace: str) -> Finding:
    """Whether all are there, bound so that they deny, and for the accounts of vmferry's namespace."""
    missing = [name for name in NAMES if name not in in_force]
    if missing:
        return warning(
            _SUBJECT,
            f"not in force: {', '.join(missing)}; an agent's token may write what belongs to others",
            "apply your kustomization, or upgrade the chart, with what is of the same version as this plugin",
        )
    elsewhere = sorted(_namespaces(policies) - {namespace})
    if elsewhere:
        return error(
            _SUBJECT,
            f"is for the accounts in namespace {', '.join(elsewhere)}, not in {namespace}: all that those in "
            f"{namespace} write is refused",
            "give --system-namespace, or install it by the chart: kustomize's `namespace:` does not change them",
        )
    return ok(_SUBJECT, f"{len(NAMES)} policies are there and bound; what is in them is not compared")


def _namespaces(policies: Sequence[Mapping[str, Any]]) -> set[str]:
    """Those whose accounts the policies name."""
    own = json.dumps([each.get("spec") for each in policies if each["metadata"]["name"] in NAMES])
    return set(re.findall(r"system:serviceaccount:([^:]+):vmferry-", own))
