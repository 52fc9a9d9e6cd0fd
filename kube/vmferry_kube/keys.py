"""How an object is named in queues and logs."""

from typing import NamedTuple


class ObjectKey(NamedTuple):
    """Namespace and name; the namespace of a cluster-scoped object is empty."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """`namespace/name`, as kubectl and its users write it."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name
