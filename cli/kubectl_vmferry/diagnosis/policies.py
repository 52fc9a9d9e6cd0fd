"""Whether the policies of the cluster make sense together."""

from collections.abc import Iterator, Sequence

from kubectl_vmferry.diagnosis.findings import Finding, error, note, ok, warning
from kubectl_vmferry.policy_warnings import warnings
from vmferry_api.conditions import ConditionType, Status, find_condition
from vmferry_api.policies import MigrationPolicy


def policies(found: Sequence[MigrationPolicy]) -> Iterator[Finding]:
    """What is with each that is not well, and with all together."""
    bad = 0
    for each in found:
        subject = f"policy {each.metadata.name}"
        accepted = find_condition(each.status.conditions, ConditionType.ACCEPTED)
        if accepted is not None and accepted.status == Status.FALSE:
            bad += 1
            yield error(subject, accepted.message, f"kubectl edit migpol {each.metadata.name}")
            continue
        for text in warnings(each, found):
            bad += 1
            yield warning(subject, text, f"kubectl edit migpol {each.metadata.name}")
    if found and not bad:
        yield ok("policies", f"{len(found)}, all can be carried out")
    if not any(each.spec.global_default for each in found):
        yield note(
            "policies",
            "none is the global default: what no selector matches goes by the agent's downtime ramp",
            "set spec.globalDefault: true on one",
        )
