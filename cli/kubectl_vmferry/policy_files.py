"""MigrationPolicies from YAML files, as they lie in git."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from kubectl_vmferry.admission_rules import broken_rules
from vmferry_api import API_VERSION
from vmferry_api.objects import ObjectMeta
from vmferry_api.policies import MigrationPolicy, MigrationPolicySpec

_KIND = "MigrationPolicy"
_UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)
"""What PyYAML raises; the latter two at dates that are none, and at lists nested by thousands."""

_NOT_JSON = (TypeError, ValueError, RecursionError)
"""What YAML can say and JSON can't: keys that are no text, lists that are in themselves."""


class PolicyFileError(ValueError):
    """A file holds no policy that the API server would take; the message says where and why."""


@dataclass(frozen=True, kw_only=True)
class NamedPolicy:
    """A policy and what to call it."""

    label: str
    """Its name; with the file where several are called so, as two versions of one are."""
    policy: MigrationPolicy


def read_policies(files: Sequence[tuple[str, str]]) -> list[NamedPolicy]:
    """All policies of some files, in their order.

    Args:
        files: Names and contents.

    Raises:
        PolicyFileError: One can't be read, or holds none.
    """
    found = [(name, policy) for name, text in files for policy in _policies(name, text)]
    names = Counter(policy.metadata.name for _, policy in found)
    labels: Counter[str] = Counter()
    named = []
    for file, policy in found:
        name = policy.metadata.name
        label = name if names[name] == 1 else f"{name} ({file})"
        labels[label] += 1
        if labels[label] > 1:
            label = f"{label} #{labels[label]}"
        named.append(NamedPolicy(label=label, policy=policy))
    return named


def _policies(file: str, text: str) -> list[MigrationPolicy]:
    try:
        documents = [each for each in yaml.safe_load_all(text) if each is not None]
    except _UNREADABLE as error:
        raise PolicyFileError(f"{file}: not YAML: {error}") from error
    objects = [each for document in documents for each in _objects(document)]
    policies = [
        _policy(file, each)
        for each in objects
        if (each.get("apiVersion"), each.get("kind")) == (API_VERSION, _KIND)
    ]
    if not policies:
        raise PolicyFileError(f"{file}: there is no {_KIND} of {API_VERSION} in it")
    return policies


def _objects(document: object) -> Iterator[Mapping[str, object]]:
    """The document, or what is in it where it is a list of objects (`kubectl get -o yaml`)."""
    if not isinstance(document, dict):
        return
    if document.get("kind") == "List":
        items = document.get("items")
        yield from (each for each in (items if isinstance(items, list) else []) if isinstance(each, dict))
    else:
        yield document


def _policy(file: str, given: Mapping[str, object]) -> MigrationPolicy:
    metadata = given.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        raise PolicyFileError(f"{file}: a {_KIND} needs metadata.name")
    try:
        given = _without_nulls(json.loads(json.dumps(given, default=str)))
    except _NOT_JSON as error:
        raise PolicyFileError(f"{file}: {name}: not JSON: {error}") from error
    try:
        # as strict as kubectl: a field that nobody knows is a mistake, not a wish
        spec = MigrationPolicySpec.model_validate_json(
            json.dumps(given.get("spec", {})), strict=True, extra="forbid", by_alias=True, by_name=False
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = "spec" + "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]
        )
        raise PolicyFileError(f"{file}: {name}: {place}: {first['msg']}") from error
    broken = broken_rules(MigrationPolicy, given)
    if broken:
        raise PolicyFileError(f"{file}: {name}: {'; '.join(broken)}")
    return MigrationPolicy(metadata=ObjectMeta(name=name, generation=1), spec=spec)


def _without_nulls(given: Any) -> Any:  # noqa: ANN401 - JSON
    """As the API server takes it, which leaves out what is null."""
    if isinstance(given, dict):
        return {name: _without_nulls(each) for name, each in given.items() if each is not None}
    return [_without_nulls(each) for each in given] if isinstance(given, list) else given
