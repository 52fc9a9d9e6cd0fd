"""An object of the API as it is stored, and what is read of any object's metadata."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from vmferry_api.schemas import ApiModel


class ManagedFields(ApiModel):
    """Of one field manager: when it last changed something, by the API server's clock."""

    manager: str = ""
    time: datetime | None = None


class ObjectMeta(ApiModel):
    """What is read of an object's metadata."""

    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: Mapping[str, str] = Field(default={})
    finalizers: Sequence[str] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    managed_fields: Sequence[ManagedFields] = ()


class ApiObject(ApiModel):
    """An object with what can't be read of it, if anything."""

    metadata: ObjectMeta
    unreadable: Sequence[str] = Field(default=(), exclude=True)
    """Fields of the spec that are left out since they can't be read, each with why; by what is left of the spec
    nothing may be begun."""

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Read what is stored, without the optional fields of the spec that can't be read.

        A rule may have been looser when they were written, or a newer version have other words. Whoever cancels or
        deletes such an object must be heard all the same.

        Raises:
            ValidationError: The rest can't be read.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            details = error.errors(include_url=False)
            left_out = {str(each["loc"][1]) for each in details if _is_in_spec(each)}
            spec = {name: value for name, value in raw.get("spec", {}).items() if name not in left_out}
            read = cls.model_validate({**raw, "spec": spec})
            return read.replace(unreadable=tuple(_in_words(each) for each in details))


def _is_in_spec(error: ErrorDetails) -> bool:
    return len(error["loc"]) > 1 and error["loc"][0] == "spec"


def _in_words(error: ErrorDetails) -> str:
    """Such as `spec.steps[1].setBandwidth: '1e8' is not a quantity such as …`."""
    path = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error["loc"])
    return f"{path.removeprefix('.')}: {error['msg'].removeprefix('Value error, ')}"
