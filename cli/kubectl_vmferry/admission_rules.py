"""The CEL rules of the API's schemas, as the API server runs them when an object is applied."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from cel_expr_python import cel

from vmferry_api.crd.schema import structural_schema
from vmferry_api.objects import ApiObject
from vmferry_api.quantities import parse_quantity


def broken_rules(kind: type[ApiObject], given: Mapping[str, Any]) -> list[str]:
    """Which rules an object breaks: the place and the message of each.

    Args:
        kind: Its type.
        given: Its JSON, which the type can read.
    """
    return list(_broken("", _schema(kind), given))


_schema = cache(structural_schema)


def _broken(path: str, schema: Mapping[str, Any], value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    for rule in schema.get("x-kubernetes-validations", []):
        if not _holds(rule["rule"], value):
            yield f"{path}{rule.get('fieldPath', '')}: {rule['message']}".removeprefix(".")
    for place, inner, each in _parts(path, schema, value):
        yield from _broken(place, inner, each)


def _parts(
    path: str,
    schema: Mapping[str, Any],
    value: Any,  # noqa: ANN401 - JSON
) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """The parts of an object or a list: where each stands, and by which schema."""
    if isinstance(value, list):
        yield from ((f"{path}[{place}]", schema["items"], each) for place, each in enumerate(value))
    elif isinstance(value, dict):
        known = schema.get("properties", {})
        for name, each in value.items():
            inner = known.get(name, schema.get("additionalProperties", {}))
            yield f"{path}.{name}", inner, each


def _holds(rule: str, value: Any) -> bool:  # noqa: ANN401 - JSON
    try:
        return _compiled(rule).eval(data={"self": value}).value() is True
    except RuntimeError:  # the API server refuses what a rule can't be evaluated for
        return False


@cache
def _compiled(rule: str) -> cel.Expression:
    return _environment().compile(rule)


@cache
def _environment() -> cel.Env:
    """CEL with the part of Kubernetes' own library that the rules use."""
    number, text = cel.Type.INT, cel.Type.STRING
    return cel.NewEnv(
        variables={"self": cel.Type.DYN},
        functions=[
            cel.FunctionDecl("quantity", [cel.Overload("quantity", number, [text], impl=parse_quantity)]),
            cel.FunctionDecl(
                "compareTo",
                [cel.Overload("compare", number, [number, number], is_member=True, impl=_compared)],
            ),
        ],
    )


def _compared(one: int, other: int) -> int:
    return (one > other) - (one < other)
