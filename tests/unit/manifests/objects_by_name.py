"""Objects of Kubernetes, found by what they are."""

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]


def by_name(objects: Iterable[Object | None]) -> dict[tuple[str, str], Object]:
    """Each by its kind and name; a document without anything is none."""
    return {(each["kind"], each["metadata"]["name"]): each for each in objects if each}
