"""kube-state-metrics' reading of objects by a CustomResourceStateMetrics: a port of what the configuration uses.

After pkg/customresourcestate/registry_factory.go: paths lead through maps by key and lists by index; a gauge reads
booleans, conditions' words, times (RFC 3339), quantities and numbers; what is missing gives no series.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from vmferry_api.quantities import parse_quantity

CONFIGURATION = Path(__file__).parents[1] / "manifests" / "monitoring" / "kube-state-metrics.yaml"
_WORDS = {"true": 1.0, "false": 0.0, "unknown": 0.0}

Series = tuple[str, Mapping[str, str], float]
"""Name, labels, value."""


def resources() -> list[dict[str, Any]]:
    """What the configuration says of each kind."""
    found: list[dict[str, Any]] = yaml.safe_load(CONFIGURATION.read_text())["spec"]["resources"]
    return found


def series(resource: Mapping[str, Any], objects: Sequence[Mapping[str, Any]]) -> Iterator[Series]:
    """All series of some objects of a kind."""
    for each in objects:
        common = _labels(resource["labelsFromPath"], each)
        for metric in resource["metrics"]:
            name = f"{resource['metricNamePrefix']}_{metric['name']}"
            for labels, value in _values(metric["each"], each):
                yield name, {**common, **labels}, value


def _values(how: Mapping[str, Any], of: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, str], float]]:
    match how["type"]:
        case "Info":
            yield _labels(how["info"]["labelsFromPath"], of), 1.0
        case "StateSet":
            states = how["stateSet"]
            found = _at(states["path"], of)
            if found is not None:
                for state in states["list"]:
                    yield {states["labelName"]: state}, float(found == state)
        case "Gauge":
            yield from _gauge(how["gauge"], of)


def _gauge(gauge: Mapping[str, Any], of: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, str], float]]:
    found = _at(gauge["path"], of)
    for each in found if isinstance(found, list) else [found]:
        value = _at(gauge.get("valueFrom", []), each)
        if value is not None:
            yield _labels(gauge.get("labelsFromPath", {}), each), number(value)


def _labels(paths: Mapping[str, Sequence[str]], of: object) -> Mapping[str, str]:
    found = {label: _at(path, of) for label, path in paths.items()}
    return {label: str(value) for label, value in found.items() if value is not None}


def _at(path: Sequence[str], of: Any) -> Any:
    for part in path:
        if not isinstance(of, Mapping):
            return None
        of = of.get(part)
    return of


def number(value: bool | float | str) -> float:
    """What a gauge makes of a value.

    Raises:
        ValueError: It can't be read, as a duration.
    """
    if not isinstance(value, str):
        return float(value)
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        return datetime.fromisoformat(value).timestamp()
    except ValueError:
        return float(parse_quantity(value))
