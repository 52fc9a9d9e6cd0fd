"""What an uninstallation deletes: migrations, and the API itself."""

from typing import Any

from kubernetes.client import CustomObjectsApi, V1DeleteOptions, V1Preconditions

from kubectl_vmferry.cluster.connection import TIMEOUT, Connection, asking
from kubectl_vmferry.cluster.objects import Raw
from kubectl_vmferry.failures import ConflictFailure, NotFoundFailure
from vmferry_api import FINALIZER, GROUP, VERSION

_CRDS = {"group": "apiextensions.k8s.io", "version": "v1", "plural": "customresourcedefinitions"}
_JSON_PATCH = "application/json-patch+json"


class Removal:
    """Deletes; what is gone already is no failure.

    Args:
        connection: To the API server.
    """

    def __init__(self, connection: Connection) -> None:
        self._objects = CustomObjectsApi(connection.client)

    def delete(self, migration: Raw) -> None:
        """Ask for its end; a namesake stays."""
        self._unless_gone(
            f"VMMigration {_name(migration)}",
            lambda: self._objects.delete_namespaced_custom_object(
                **_place(migration),
                body=V1DeleteOptions(preconditions=V1Preconditions(uid=migration["metadata"]["uid"])),
                _request_timeout=TIMEOUT,
            ),
        )

    def let_go(self, migration: Raw) -> bool:
        """Take vmferry's finalizer off, if the migration is as it was seen; whether that was done."""
        metadata = migration["metadata"]
        others = [each for each in metadata.get("finalizers", []) if each != FINALIZER]
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": others},
        ]
        try:
            self._unless_gone(
                f"VMMigration {_name(migration)}",
                lambda: self._objects.patch_namespaced_custom_object(
                    **_place(migration), body=patch, _content_type=_JSON_PATCH, _request_timeout=TIMEOUT
                ),
            )
        except ConflictFailure:
            return False
        return True

    def delete_crd(self, name: str) -> None:
        """Delete a CRD, and with it all objects of its kind that nothing holds."""
        self._unless_gone(
            f"CRD {name}",
            lambda: self._objects.delete_cluster_custom_object(**_CRDS, name=name, _request_timeout=TIMEOUT),
        )

    @staticmethod
    def _unless_gone(what: str, act: Any) -> None:  # noqa: ANN401 - the client's untyped calls
        try:
            with asking(what):
                act()
        except NotFoundFailure:
            return


def _place(migration: Raw) -> dict[str, str]:
    metadata = migration["metadata"]
    return {
        "group": GROUP,
        "version": VERSION,
        "namespace": metadata["namespace"],
        "plural": "vmmigrations",
        "name": metadata["name"],
    }


def _name(migration: Raw) -> str:
    return f"{migration['metadata']['namespace']}/{migration['metadata']['name']}"
