"""What `kubectl explain` tells of a field says what may stand in it."""

from collections.abc import Iterator

import pytest

from vmferry_api.crd.schema import structural_schema
from vmferry_api.migrations import VMMigrationSpec
from vmferry_api.policies import MigrationPolicySpec


def fields(path, schema) -> Iterator[tuple[str, dict]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", inner
        yield from fields(f"{path}.{name}", inner)
    if "items" in schema:
        yield from fields(path, schema["items"])


FIELDS = dict(
    field
    for kind in (MigrationPolicySpec, VMMigrationSpec)
    for field in fields(kind.__name__, structural_schema(kind))
)
CHOICES = {
    path: schema.get("enum") or schema["items"]["enum"]
    for path, schema in FIELDS.items()
    if "enum" in schema or "enum" in schema.get("items", {})
}


def test_there_are_choices_to_explain():
    assert len(CHOICES) >= 8


@pytest.mark.parametrize("path", CHOICES)
def test_each_value_of_a_choice_is_named(path):
    """In lists kubectl shows none of them, and of no choice what it means."""
    assert [each for each in CHOICES[path] if each not in FIELDS[path]["description"]] == []


@pytest.mark.parametrize("path", FIELDS)
def test_each_field_has_a_sentence(path):
    assert FIELDS[path].get("description", "").endswith(".")
