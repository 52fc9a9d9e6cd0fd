"""An object of the API as it is stored, and what is read of any object's metadata."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import reduce
from operator import getitem
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from vmferry_api.moments import Moment
from vmferry_api.schemas import ApiModel

Path = tuple[str | int, ...]
"""To a part of an object: names of fields and places in lists."""


class ManagedFields(ApiModel):
    """Of one field manager: when it last changed something, by the API server's clock.

    Whoever may edit an object may add any of another one's, with any time.
    """

    manager: str = ""
    subresource: str = ""
    time: Moment | None = None


class ObjectMeta(ApiModel):
    """What is read of an object's metadata."""

    name: str
    namespace: str | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: Mapping[str, str] = Field(default={})
    finalizers: Sequence[str] = ()
    creation_timestamp: Moment | None = None
    deletion_timestamp: Moment | None = None
    managed_fields: Sequence[ManagedFields] = ()


class ApiObject(ApiModel):
    """An object with what can't be read of it, if anything."""

    metadata: ObjectMeta
    unreadable: Sequence[str] = Field(default=(), exclude=True)
    """What is left out since it can't be read, each with why: fields of the spec, or the whole status. By what is
    left nothing may be begun."""

    @property
    def has_unread_status(self) -> bool:
        """Whether nothing is known of its status, or nothing new."""
        return any(each.startswith("status") for each in self.unreadable)

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> Self:
        """Read what is stored, without the optional parts that can't be read.

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
            details = [each for each in error.errors(include_url=False) if not _is_of_others(each["loc"])]
            left_out = {str(each["loc"][1]) for each in details if _is_of_spec(each["loc"])}
            spec = {name: value for name, value in raw.get("spec", {}).items() if name not in left_out}
            read = cls._without_strange_words({**raw, "spec": spec})
            return read.replace(unreadable=tuple(map(_in_words, details)))

    @classmethod
    def read_but_status(cls, raw: Mapping[str, Any], error: ValidationError) -> Self:
        """Read the rest, where nothing of the status can be read: it is empty then.

        Args:
            raw: What is stored.
            error: Why its status can't be read.

        Raises:
            ValidationError: Neither can the rest.
        """
        rest = cls.read({**raw, "status": {}})
        why = [_in_words(each) for each in error.errors(include_url=False) if each["loc"][0] == "status"]
        return rest.replace(unreadable=(*rest.unreadable, *why))

    @classmethod
    def _without_strange_words(cls, raw: Mapping[str, Any]) -> Self:
        """Read it without the optional parts that can't be read of what others write."""
        rest, first = deepcopy(dict(raw)), None
        while True:  # what lacks something by now goes in the next round
            try:
                return cls.model_validate(rest)
            except ValidationError as error:
                first = first or error
                found = {_to_leave_out(rest, each["loc"]) for each in error.errors(include_url=False)}
                places = [place for place in found if place is not None]
                if len(places) < len(found):
                    raise first from None
                for place in sorted(places, reverse=True):  # from the end, so that places in lists stay right
                    del _at(rest, place[:-1])[place[-1]]


_ORDERS = ("status", "desired")
_ATTEMPTS = ("status", "attempts")
_MANAGED_FIELDS = ("metadata", "managedFields")


def _to_leave_out(container: object, path: Path) -> Path | None:
    """What is at a path, or what lacks it there; None: that may not be left out."""
    if not _is_of_others(path):
        return None
    holder = _at(container, path[:-1])
    place = path[:-1] if isinstance(holder, dict) and path[-1] not in holder else path
    is_needed = place[:2] == _ORDERS or _ATTEMPTS in {place, place[:-1]} or len(place) == 1
    return None if is_needed else place


def _at(container: Any, path: Path) -> Any:  # noqa: ANN401 - JSON
    return reduce(getitem, path, container)


def _is_of_others(path: Path) -> bool:
    """Whether it is what others write beside this process, without a rule to hold them to."""
    return path[0] == "status" or path[:2] == _MANAGED_FIELDS


def _is_of_spec(path: Path) -> bool:
    return len(path) > 1 and path[0] == "spec"


def _in_words(error: ErrorDetails) -> str:
    """Such as `spec.steps[1].setBandwidth: '1e8' is not a quantity such as …`."""
    path = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in error["loc"])
    return f"{path.removeprefix('.')}: {error['msg'].removeprefix('Value error, ')}"
