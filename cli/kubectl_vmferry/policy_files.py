"""MigrationPolicies from YAML files, as they lie in git."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kubectl_vmferry.admission_rules import broken_rules
from kubectl_vmferry.around_the_spec import problems_around_the_spec
from kubectl_vmferry.yaml_as_kubectl import load_all
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


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What is to be a policy."""

    name: str
    """Empty: it has none."""
    problems: Sequence[str]
    """All that the API server would refuse it for, each with its place."""
    policy: MigrationPolicy | None = None
    """None: it has problems."""


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


def examine(file: str, text: str) -> list[Examined]:
    """All that is to be MigrationPolicies in a file, right or wrong.

    Raises:
        PolicyFileError: It is no YAML.
    """
    try:
        documents = [each for each in load_all(text) if each is not None]
    except _UNREADABLE as error:
        raise PolicyFileError(f"{file}: not YAML: {error}") from error
    return [
        _examined(each)
        for document in documents
        for each in _objects(document)
        if (each.get("apiVersion"), each.get("kind")) == (API_VERSION, _KIND)
    ]


def _policies(file: str, text: str) -> list[MigrationPolicy]:
    found = examine(file, text)
    if not found:
        raise PolicyFileError(f"{file}: there is no {_KIND} of {API_VERSION} in it")
    policies = []
    for each in found:
        if each.policy is None:
            name = f"{each.name}: " if each.name else ""
            raise PolicyFileError(f"{file}: {name}{'; '.join(each.problems)}")
        policies.append(each.policy)
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


def _examined(given: Mapping[str, object]) -> Examined:
    metadata = given.get("metadata")
    name = _name(metadata) if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str):
        return Examined(name="", problems=[f"a {_KIND} needs metadata.name"])
    try:
        given = _without_nulls(json.loads(json.dumps(given, default=str, allow_nan=False)))
    except _NOT_JSON as error:
        return Examined(name=name, problems=[f"not JSON: {error}"])
    problems = list(problems_around_the_spec(given))
    try:
        # as strict as kubectl: a field that nobody knows is a mistake, not a wish
        spec = MigrationPolicySpec.model_validate_json(
            json.dumps(given.get("spec", {})), strict=True, extra="forbid", by_alias=True, by_name=False
        )
    except ValidationError as error:
        return Examined(name=name, problems=[*problems, *map(_in_words, error.errors())])
    problems += broken_rules(MigrationPolicy, {**given, "metadata": {"name": name}})
    if problems:
        return Examined(name=name, problems=problems)
    read = MigrationPolicy(metadata=ObjectMeta(name=name, generation=1), spec=spec)
    return Examined(name=name, problems=[], policy=read)


def _name(metadata: Mapping[str, object]) -> object:
    return metadata.get("name") or metadata.get("generateName") or metadata.get("name")


def _in_words(error: ErrorDetails) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]]
    return f"spec{''.join(parts)}: {error['msg']}"


def _without_nulls(given: Any) -> Any:  # noqa: ANN401 - JSON
    """As the API server takes it, which leaves out what is null."""
    if isinstance(given, dict):
        return {name: _without_nulls(each) for name, each in given.items() if each is not None}
    return [_without_nulls(each) for each in given] if isinstance(given, list) else given
