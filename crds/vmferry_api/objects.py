"""An object of the API as it is stored, and what is read of any object's metadata."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
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
        """Read what is stored, without the optional fields that can't be read.

        A rule may have been looser when they were written, or a newer version have other words. Whoever cancels or
        deletes such an object must be heard all the same. Of the spec whole fields are left out; of the status,
        which others of another version write beside this process, as little as can be: the rest counts.
        What is ordered is obeyed whole or not at all, and no attempt is forgotten: then nothing is read.

        Raises:
            ValidationError: The rest can't be read.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            details = [each for each in error.errors(include_url=False) if not _is_in(each, "status")]
            left_out = {str(each["loc"][1]) for each in details if _is_in(each, "spec")}
            spec = {name: value for name, value in raw.get("spec", {}).items() if name not in left_out}
            read = cls._without_strange_words({**raw, "spec": spec})
            return read.replace(unreadable=tuple(_in_words(each) for each in details))

    @classmethod
    def _without_strange_words(cls, raw: Mapping[str, Any]) -> Self:
        """Read it, its status without the optional parts that can't be read."""
        rest = deepcopy(dict(raw))
        while True:
            try:
                return cls.model_validate(rest)
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                if not _is_in(first, "status") or not _left_out(rest, first["loc"]):
                    raise


_ORDERS = ("status", "desired")
_ATTEMPTS = ("status", "attempts")


def _left_out(container: Any, path: Sequence[str | int]) -> bool:  # noqa: ANN401 - JSON
    """Remove what is at a path, or what lacks it there; whether that may be done."""
    if path[:2] == _ORDERS or path == _ATTEMPTS:
        return False
    *above, last = path
    holders = [container]
    for step in above:
        holders.append(holders[-1][step])
    if isinstance(holders[-1], dict) and last in holders[-1]:
        del holders[-1][last]
        return True
    # required, and not there: the part that lacks it goes, unless that is an entry of a list, or all of the status
    if len(above) > 1 and isinstance(above[-1], str):
        del holders[-2][above[-1]]
        return True
    return False


def _is_in(error: ErrorDetails, part: str) -> bool:
    return len(error["loc"]) > 1 and error["loc"][0] == part


def _in_words(error: ErrorDetails) -> str:
    """Such as `spec.steps[1].setBandwidth: '1e8' is not a quantity such as …`."""
    path = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error["loc"])
    return f"{path.removeprefix('.')}: {error['msg'].removeprefix('Value error, ')}"
