"""Whether admission holds operator and agents to what is theirs."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_vmferry.diagnosis.findings import Finding, error, ok, warning

NAMES = ("vmferry-leases", "vmferry-migration-status", "vmferry-migrations", "vmferry-policy-status")
"""Of the policies and of their bindings in manifests/base."""
_SUBJECT = "admission"


def admission(
    policies: Sequence[Mapping[str, Any]], bindings: Sequence[Mapping[str, Any]], namespace: str
) -> Finding:
    """Whether all policies are there, bound so that they deny, and for the accounts of vmferry's namespace."""
    there = {each["metadata"]["name"] for each in policies}
    bound = {
        each["spec"]["policyName"]
        for each in bindings
        if "Deny" in each["spec"].get("validationActions", []) and not each["spec"].get("matchResources")
    }
    missing = [name for name in NAMES if name not in there & bound]
    if missing:
        return warning(
            _SUBJECT,
            f"not in force: {', '.join(missing)}; an agent's token may write what belongs to others",
            "apply manifests/base of the same version as this plugin",
        )
    elsewhere = sorted(_namespaces(policies) - {namespace})
    if elsewhere:
        return error(
            _SUBJECT,
            f"is for the accounts in namespace {', '.join(elsewhere)}, not in {namespace}: all that those in "
            f"{namespace} write is refused",
            "give --system-namespace, or install it by the chart: kustomize's `namespace:` does not change them",
        )
    return ok(_SUBJECT, f"{len(NAMES)} policies hold operator and agents to what is theirs")


def _namespaces(policies: Sequence[Mapping[str, Any]]) -> set[str]:
    """Those whose accounts the policies name."""
    own = json.dumps([each.get("spec") for each in policies if each["metadata"]["name"] in NAMES])
    return set(re.findall(r"system:serviceaccount:([^:]+):vmferry-", own))
