"""What the API server refuses of an object beside its spec: metadata, unknown fields, fields of the status."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from vmferry_api.crd.schema import structural_schema
from vmferry_api.names import LABEL_KEY, LABEL_VALUE, MAX_LENGTH, OBJECT_NAME
from vmferry_api.policies import MigrationPolicy

_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA = (
    *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
    *("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp"),
    *("deletionGracePeriodSeconds", "managedFields", "selfLink"),
)
_NAME_PART = 63


def problems_around_the_spec(given: Mapping[str, Any]) -> Iterator[str]:
    """All of them, each with its place.

    Args:
        given: A MigrationPolicy as JSON, without nulls; its metadata is an object.
    """
    metadata = given["metadata"]
    yield from _names(metadata)
    yield from _labels(metadata)
    if given.get("spec") is None:
        yield "spec: Field required"
    for path, fields, known in (("", given, _FIELDS), ("metadata.", metadata, _METADATA)):
        for field in fields:
            if field not in known:
                near = (get_close_matches(field, known, n=1, cutoff=0) or ["spec"])[0]
                yield f"{path}{field}: there is no such field; did you mean {near}?"
    status = structural_schema(MigrationPolicy)["properties"]["status"]
    yield from (f"{path}: there is no such field" for path in _unknown("status", status, given.get("status")))


def _names(metadata: Mapping[str, Any]) -> Iterator[str]:
    for field in ("name", "generateName"):
        name = metadata.get(field)
        if name is None or (name == "" and metadata.get("generateName")):
            continue
        # what is generated is put behind a dash at the end
        text = re.sub("-$", "a", str(name)) if field == "generateName" else str(name)
        if not re.fullmatch(OBJECT_NAME[1:-1], text) or len(text) > MAX_LENGTH:
            yield f"metadata.{field}: {name!r} can't be a name: lower-case letters, digits, - and ."


def _labels(metadata: Mapping[str, Any]) -> Iterator[str]:
    for field in ("labels", "annotations"):
        given = metadata.get(field, {})
        if not isinstance(given, dict):
            yield f"metadata.{field}: must be keys with their values"
            continue
        for key, value in given.items():
            yield from _label(field, key, value)


def _label(field: str, key: str, value: object) -> Iterator[str]:
    # Kubernetes has annotations' keys in any case
    if not _is_key(key if field == "labels" else key.lower()):
        yield f"metadata.{field}: {key!r} can't be a key: one is such as tier or example.com/tier"
    if not isinstance(value, str):
        yield f"metadata.{field}.{key}: {value!r} is no text; quote it"
    elif field == "labels" and not re.fullmatch(LABEL_VALUE[1:-1], value):
        yield f"metadata.labels.{key}: no label can have the value {value!r}"


def _is_key(key: str) -> bool:
    prefix, _, name = key.rpartition("/")
    return bool(re.fullmatch(LABEL_KEY[1:-1], key)) and len(prefix) <= MAX_LENGTH and len(name) <= _NAME_PART


def _unknown(path: str, schema: Mapping[str, Any], value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """The places of fields that the schema does not have."""
    if isinstance(value, list):
        for place, each in enumerate(value):
            yield from _unknown(f"{path}[{place}]", schema.get("items", {}), each)
    elif isinstance(value, dict) and "additionalProperties" not in schema:
        known = schema.get("properties", {})
        for name, each in value.items():
            if name in known:
                yield from _unknown(f"{path}.{name}", known[name], each)
            else:
                yield f"{path}.{name}"
