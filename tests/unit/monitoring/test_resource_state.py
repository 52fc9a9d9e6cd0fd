"""What kube-state-metrics is told to read is there, and can be read."""

from pathlib import Path

import pytest
import yaml

from resource_state_metrics import number, resources, series
from vmferry_api.migrations import Phase
from vmferry_api.moments import PATTERN as MOMENT

CRDS = Path(__file__).parents[3] / "crds"
METADATA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "namespace": {"type": "string"},
        "generation": {"type": "integer"},
        "creationTimestamp": {"type": "string", "format": "date-time"},
    },
}


def schema(kind):
    """That of a kind, with what all objects have."""
    for path in CRDS.glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        if definition["kind"] == "CustomResourceDefinition" and definition["spec"]["names"]["kind"] == kind:
            found = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            return {**found, "properties": {**found["properties"], "metadata": METADATA}}
    raise AssertionError(f"no {kind}")


def at(path, of):
    """The schema of what a path leads to."""
    for part in path:
        of = of["properties"][part]
    return of


CASES = [
    pytest.param(resource, metric, id=f"{resource['metricNamePrefix']}_{metric['name']}")
    for resource in resources()
    for metric in resource["metrics"]
]


def is_number(leaf):
    """Whether a gauge can read it; a duration, which is a string like others, it can not."""
    if leaf.get("x-kubernetes-int-or-string"):
        return True
    if leaf["type"] == "string":
        is_moment = leaf.get("format") == "date-time" or leaf.get("pattern") == MOMENT
        return is_moment or set(leaf.get("enum", [])) == {"True", "False", "Unknown"}
    return leaf["type"] in {"boolean", "integer", "number"}


@pytest.mark.parametrize(("resource", "metric"), CASES)
def test_each_path_leads_to_a_field_that_can_be_a_value(resource, metric):
    root = schema(resource["groupVersionKind"]["kind"])
    for path in resource["labelsFromPath"].values():
        at(path, root)
    (how,) = (value for key, value in metric["each"].items() if key != "type")
    found = at(how.get("path", []), root)
    each = found.get("items", found)
    for path in how.get("labelsFromPath", {}).values():
        at(path, each)
    if metric["each"]["type"] == "Gauge":
        assert is_number(at(how.get("valueFrom", []), each))
    if metric["each"]["type"] == "StateSet":
        assert how["list"] == list(Phase)
        assert set(found["enum"]) == set(Phase)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (True, 1),
        ("False", 0),
        ("Unknown", 0),
        (7, 7),
        ("64Mi", 2**26),
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T00:01:00.5Z", 60.5),
    ],
)
def test_values_are_read_as_kube_state_metrics_does(value, read):
    assert number(value) == read


def test_a_duration_can_not_be_read():
    with pytest.raises(ValueError, match="not a quantity"):
        number("150ms")


def test_what_is_not_there_gives_no_series():
    (migrations,) = (each for each in resources() if each["groupVersionKind"]["kind"] == "VMMigration")
    spec = {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"}
    new = {"metadata": {"namespace": "prod", "name": "m"}, "spec": spec}
    labels = {
        "namespace": "prod",
        "name": "m",
        "vm": "db-1",
        "source_node": "node-a",
        "target_node": "node-b",
    }
    assert list(series(migrations, [new])) == [("vmferry_migration_info", labels, 1.0)]
