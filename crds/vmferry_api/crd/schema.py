"""Structural OpenAPI schemas, as CustomResourceDefinitions want them, from the API types."""

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from vmferry_api.durations import format_duration
from vmferry_api.schemas import ApiModel


class _Structural(GenerateJsonSchema):
    """pydantic's JSON schema with each model's CEL rules, and without unions for optional fields."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        json = super().model_schema(schema)
        model = schema["cls"]
        if issubclass(model, ApiModel) and model.object_rules:
            json["x-kubernetes-validations"] = [rule.as_json() for rule in model.object_rules]
        return json

    def encode_default(self, dft: object) -> object:
        """As users write it: a duration as `10s`."""
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def structural_schema(model: type[ApiModel]) -> dict[str, Any]:
    """The schema of a type: no references, no titles, defaults told in the description instead of set.

    Schema defaults would be written into the object and shown as drift by GitOps tools.
    """
    json = model.model_json_schema(by_alias=True, schema_generator=_Structural, mode="validation")
    definitions = json.pop("$defs", {})
    structural: dict[str, Any] = _structural(json, definitions)
    structural["description"] = _first_line(model)
    return structural


def _structural(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, list):
        return [_structural(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].removeprefix("#/$defs/")]
        node = target | {key: value for key, value in node.items() if key != "$ref"}
    result = {
        key: _structural(value, definitions)
        for key, value in node.items()
        if key not in {"title", "default", "properties"}
    }
    if "properties" in node:
        result["properties"] = {
            name: _structural(value, definitions) for name, value in node["properties"].items()
        }
    if node.get("default") not in (None, [], {}, ""):
        result["description"] = f"{result.get('description', '')} Default: {_plain(node['default'])}."
    elif "description" in result:
        result["description"] = " ".join(result["description"].split())
    return result


def _plain(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _first_line(model: type[ApiModel]) -> str:
    return " ".join((model.__doc__ or "").split())
