"""What is applied can be removed by the commands that are told for it."""

import re

import pytest

from generate_chart import MANIFESTS, composed, kustomized
from kubectl_vmferry.commands import uninstall

PAGE = (MANIFESTS.parent / "docs" / "upgrades.md").read_text()
COMPONENTS = [each.name for each in (MANIFESTS / "components").iterdir()]
MONITORING = ("PodMonitor", "PrometheusRule", "ConfigMap")
_BY_LABEL = re.compile(r"kubectl delete (?P<kinds>[a-z]+,[a-z,]+) -l (?P<label>\S+?)=(?P<value>\w+)")


def told(text):
    return [each.groupdict() for each in _BY_LABEL.finditer(text)]


def test_the_page_and_the_plugin_tell_the_same_command():
    first, *others = [*told(PAGE), *told(uninstall._REST)]
    assert len(others) == 2
    assert [each for each in others if each != first] == []


@pytest.mark.parametrize(
    "objects",
    [
        kustomized(MANIFESTS / "base"),
        composed("base", *COMPONENTS),
        kustomized(MANIFESTS / "monitoring"),
    ],
    ids=["the base", "components", "monitoring"],
)
def test_that_command_finds_all_that_is_of_no_namespace_but_the_kinds(objects):
    command = told(PAGE)[0]
    kinds = command["kinds"].split(",")
    wide = [each for each in objects if "namespace" not in each["metadata"]]
    for each in wide:
        if each["kind"] != "CustomResourceDefinition":
            assert any(name in kinds for name in plurals(each["kind"])), each["kind"]
            assert each["metadata"]["labels"][command["label"]] == command["value"], each["metadata"]["name"]


def plurals(kind):
    name = kind.lower()
    return (f"{name}s", f"{name}es", f"{name.removesuffix('y')}ies")
