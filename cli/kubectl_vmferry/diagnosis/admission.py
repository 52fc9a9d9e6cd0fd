"""Whether admission holds operator and agents to what is theirs."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubectl_vmferry.diagnosis.findings import Finding, ok, warning

NAMES = ("vmferry-leases", "vmferry-migration-status", "vmferry-migrations", "vmferry-policy-status")
"""Of the policies and of their bindings in manifests/base."""
_SUBJECT = "admission"


def admission(policies: Sequence[Mapping[str, Any]], bindings: Sequence[Mapping[str, Any]]) -> Finding:
    """Whether all policies are there, bound so that they deny."""
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
    return ok(_SUBJECT, f"{len(NAMES)} policies hold operator and agents to what is theirs")
