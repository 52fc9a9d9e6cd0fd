"""What is read of any object's metadata."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import Field

from vmferry_api.schemas import ApiModel


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
