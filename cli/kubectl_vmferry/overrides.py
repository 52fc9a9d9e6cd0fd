"""`--set FIELD=VALUE`: single tunables over a policy's, as spec.overrides has them."""

from typing import Any

import click
from pydantic import ValidationError
from typing_extensions import override

from kubectl_vmferry.failures import did_you_mean
from vmferry_api.crd.schema import structural_schema
from vmferry_api.migrations import PolicyOverrides

Set = tuple[tuple[str, ...], str | int]
"""The path of a field below spec.overrides, and its value."""


class Override(click.ParamType[Set]):
    """One of them."""

    name = "field=value"

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Set:
        if isinstance(value, tuple):
            return value
        path, equals, given = str(value).partition("=")
        if not equals or not given:
            self.fail(f"{value!r} is not FIELD=VALUE, such as maxDowntime=1s", param, ctx)
        known = fields()
        if path not in known:
            self.fail(f"spec.overrides has no {path}; {did_you_mean(path, known)}", param, ctx)
        typed = int(given) if _is_integer(path) and given.lstrip("-").isdigit() else given
        parts = tuple(path.split("."))
        nested: Any = typed
        for part in reversed(parts):
            nested = {part: nested}
        try:
            PolicyOverrides.model_validate(nested)
        except ValidationError as error:
            self.fail(f"{path}: {error.errors()[0]['msg'].removeprefix('Value error, ')}", param, ctx)
        return parts, typed


def fields() -> list[str]:
    """All that can be set, such as bandwidth.perMigration."""
    found = []
    for name, schema in structural_schema(PolicyOverrides)["properties"].items():
        inner = schema.get("properties")
        found += [name] if inner is None else [f"{name}.{each}" for each in inner]
    return sorted(found)


def _is_integer(path: str) -> bool:
    schema = structural_schema(PolicyOverrides)
    for part in path.split("."):
        schema = schema["properties"][part]
    return schema.get("type") == "integer"
