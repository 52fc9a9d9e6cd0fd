"""The base of all API types, and what they tell the CRD generator beyond their Python types."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A CEL rule (`x-kubernetes-validations`) and the message for who breaks it."""

    rule: str
    message: str
    field_path: str | None = None

    def as_json(self) -> dict[str, str]:
        """The rule as the CRD schema spells it."""
        path = {"fieldPath": self.field_path} if self.field_path else {}
        return {"rule": self.rule, "message": self.message, **path}


def rules(*several: Rule) -> dict[str, Any]:
    """The `json_schema_extra` of a field that these rules hold for."""
    return {"x-kubernetes-validations": [rule.as_json() for rule in several]} if several else {}


class ApiModel(BaseModel):
    """A part of an API object: immutable, camelCase in JSON, unknown fields of newer versions left out."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore", use_enum_values=False
    )

    object_rules: ClassVar[tuple[Rule, ...]] = ()
    """CEL rules over several fields of this object."""

    def as_json(self) -> dict[str, Any]:
        """The JSON that the API server takes: only what is set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def replace(self, **changes: object) -> Self:
        """A copy with these fields changed (not validated: for values that are of the right type already)."""
        return self.model_copy(update=changes)
