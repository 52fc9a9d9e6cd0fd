"""Label selectors, with Kubernetes' semantics."""

from collections.abc import Mapping

from vmferry_api.policies import LabelSelector, LabelSelectorRequirement, SelectorOperator


def unmet(selector: LabelSelector, labels: Mapping[str, str]) -> str | None:
    """The requirements that do not hold, in kubectl's words; None: the selector matches."""
    wanted = [
        f"{key}={value}" for key, value in sorted(selector.match_labels.items()) if labels.get(key) != value
    ]
    wanted += [_text(each) for each in selector.match_expressions if not _holds(each, labels)]
    return " and ".join(wanted) or None


def requirements(selector: LabelSelector | None) -> int:
    """How many requirements it has."""
    return 0 if selector is None else len(selector.match_labels) + len(selector.match_expressions)


def _holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    there = requirement.key in labels
    match requirement.operator:
        case SelectorOperator.IN:
            return there and labels[requirement.key] in requirement.values
        case SelectorOperator.NOT_IN:
            return not there or labels[requirement.key] not in requirement.values
        case SelectorOperator.EXISTS:
            return there
        case SelectorOperator.DOES_NOT_EXIST:
            return not there


def _text(requirement: LabelSelectorRequirement) -> str:
    values = f"({', '.join(requirement.values)})"
    match requirement.operator:
        case SelectorOperator.IN:
            return f"{requirement.key} in {values}"
        case SelectorOperator.NOT_IN:
            return f"{requirement.key} notin {values}"
        case SelectorOperator.EXISTS:
            return requirement.key
        case SelectorOperator.DOES_NOT_EXIST:
            return f"!{requirement.key}"
