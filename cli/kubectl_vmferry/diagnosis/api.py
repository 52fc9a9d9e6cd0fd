"""Whether the cluster has vmferry's API, and the one that this plugin knows."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubectl_vmferry.diagnosis.findings import Finding, error, ok, warning
from vmferry_api import VERSION
from vmferry_api.crd.definitions import DEFINITIONS, Definition, custom_resource_definition

_NEEDED = (1, 31)
"""The first Kubernetes that serves selectable fields of custom resources, by which agents watch only their own."""
_INSTALL = "kubectl apply -k crds"
_SHOWN = 3


def server(version: str) -> Finding:
    """Whether the API server is new enough.

    Args:
        version: Its gitVersion, such as v1.34.2.
    """
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) < _NEEDED:
        needed = ".".join(map(str, _NEEDED))
        return error(
            "API server",
            f"Kubernetes {version} can't select custom resources by fields, by which agents watch their own",
            f"upgrade to {needed} or newer",
        )
    return ok("API server", f"answers; Kubernetes {version}")


def crds(found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Whether both kinds are there, served, and as this plugin knows them."""
    by_name = {each["metadata"]["name"]: each for each in found}
    for definition in DEFINITIONS:
        subject = f"CRD {definition.name}"
        crd = by_name.get(definition.name)
        if crd is None:
            yield error(subject, "is not there", _INSTALL)
        else:
            yield _crd(subject, definition, crd)


def _crd(subject: str, definition: Definition, crd: Mapping[str, Any]) -> Finding:
    conditions = {each["type"]: each for each in crd.get("status", {}).get("conditions", [])}
    established = conditions.get("Established", {})
    if established.get("status") != "True":
        return error(subject, f"is not served: {established.get('message', 'not established')}", _INSTALL)
    served = next((each for each in crd["spec"]["versions"] if each["name"] == VERSION), None)
    if served is None or not served.get("served"):
        names = ", ".join(each["name"] for each in crd["spec"]["versions"])
        return error(
            subject, f"serves {names}, and this plugin speaks {VERSION}", f"{_INSTALL}, or another plugin"
        )
    ours = custom_resource_definition(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    theirs = served["schema"]["openAPIV3Schema"]
    if _stored(ours) == _stored(theirs):
        return ok(subject, f"{VERSION}, the same as this plugin's")
    return warning(
        subject,
        f"{VERSION}, but not the same as this plugin's: {_difference(_paths(ours), _paths(theirs))}",
        f"{_INSTALL} of the same version as this plugin, or install the plugin of the cluster's",
    )


def _stored(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """As the API server keeps it, which leaves out empty properties."""
    if isinstance(schema, dict):
        return {name: _stored(each) for name, each in schema.items() if (name, each) != ("properties", {})}
    return [_stored(each) for each in schema] if isinstance(schema, list) else schema


def _difference(ours: set[str], theirs: set[str]) -> str:
    parts = []
    for has, lacks, words in ((ours, theirs, "the cluster lacks"), (theirs, ours, "the plugin lacks")):
        missing = sorted(has - lacks)
        if missing:
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            parts.append(f"{words} {', '.join(missing[:_SHOWN])}{more}")
    return "; ".join(parts) or "rules or descriptions differ"


def _paths(schema: Mapping[str, Any], path: str = "") -> set[str]:
    """The paths of all fields."""
    found = set()
    for field, inner in schema.get("properties", {}).items():
        place = f"{path}.{field}".removeprefix(".")
        found |= {place, *_paths(inner, place)}
    items = schema.get("items")
    return found | (_paths(items, path) if isinstance(items, dict) else set())
