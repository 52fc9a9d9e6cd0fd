"""Objects as JSON, YAML or names, as kubectl prints them."""

import json
from collections.abc import Sequence
from typing import Any

import click
import yaml

FORMATS = ("json", "yaml", "name")


def show_objects(raws: Sequence[dict[str, Any]], output: str) -> None:
    """One object as itself, several as a List."""
    shown = [_without_managed_fields(each) for each in raws]
    if output == "name":
        for each in shown:
            click.echo(f"{each['kind'].lower()}.vmferry.io/{each['metadata']['name']}")
        return
    document = shown[0] if len(shown) == 1 else {"apiVersion": "v1", "kind": "List", "items": shown}
    show_document(document, output)


def show_document(document: object, output: str) -> None:
    """Anything as JSON or YAML."""
    if output == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip())


def json_line(raw: dict[str, Any]) -> str:
    """An object in one line."""
    return json.dumps(_without_managed_fields(raw), ensure_ascii=False)


def _without_managed_fields(raw: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    return {**raw, "metadata": metadata}
