"""docs/api.md tells all that the CRDs hold."""

from collections.abc import Iterator
from typing import Any

import pytest

from doc_pages import ROOT
from vmferry_api.crd.definitions import DEFINITIONS, custom_resource_definition
from vmferry_api.crd.reference import reference

OF_EVERY_OBJECT = {"apiVersion", "kind", "metadata"}
PAGE = (ROOT / "docs" / "api.md").read_text()


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield from schemas(inner)


def schema_of(definition) -> dict[str, Any]:
    return custom_resource_definition(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def test_it_is_what_the_types_say():
    assert reference() == PAGE, "run `make crds` and commit"


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each.plural)
def test_every_field_and_every_refusal_is_in_it(definition):
    found = list(schemas(schema_of(definition)))
    fields = {name for each in found for name in each.get("properties", {})} - OF_EVERY_OBJECT
    messages = {rule["message"] for each in found for rule in each.get("x-kubernetes-validations", [])}
    kind = definition.kind.__name__
    plain = PAGE.replace("\\", "")
    assert {name for name in fields if f"`{name}`" not in plain and f"{kind} {name}\n" not in plain} == set()
    assert {message for message in messages if f"- {message}\n" not in plain} == set()
