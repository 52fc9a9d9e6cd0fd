"""What is written to the API server: status by server-side apply, finalizers by JSON patch."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CustomObjectsApi,
    V1DeleteOptions,
    V1Preconditions,
)

from vmferry_api import API_VERSION, FINALIZER, GROUP, VERSION
from vmferry_api.objects import ObjectMeta
from vmferry_kube.clients import REQUEST_TIMEOUT
from vmferry_kube.errors import ConflictError, asking
from vmferry_kube.measuring import Tell, timed, untold

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_NOT_FOUND = 404
_CONFLICT = 409
_TEST_FAILED = {_CONFLICT, 422}
"""What the API server answers to a JSON patch whose test fails."""
_Read = Callable[..., Awaitable[dict[str, Any]]]


class StatusWriter:
    """Applies one owner's fields of the status of objects.

    Args:
        client: The connection.
        manager: The field manager. Each owner has its own, and sends all of its fields each time: what it no
            longer sends, the API server removes.
        tell: Takes what each write took.
    """

    def __init__(self, client: ApiClient, *, manager: str, tell: Tell = untold) -> None:
        self._api = CustomObjectsApi(client)
        self._manager = manager
        self._tell = tell

    async def apply_migration(self, metadata: ObjectMeta, status: dict[str, Any]) -> dict[str, Any]:
        """Apply to a VMMigration; the object as it then is.

        It holds only for the version that was looked at: what others have decided meanwhile is seen first, and a
        namesake is never written to (of a /status write the API server ignores the uid).

        Raises:
            ConflictError: The object has changed.
            UnavailableError: There was no answer.
            kubernetes.aio.client.ApiException: Refused; its `status` is the HTTP status, 404: it is gone.
        """
        async with _writing(_reading(self._api, metadata), metadata, self._tell):
            result: dict[str, Any] = await self._api.patch_namespaced_custom_object_status(
                **_place(metadata),
                body={
                    "apiVersion": API_VERSION,
                    "kind": "VMMigration",
                    "metadata": _version_seen(metadata),
                    "status": status,
                },
                field_manager=self._manager,
                force=True,
                _content_type=_APPLY,
                _request_timeout=REQUEST_TIMEOUT,
            )
        return result

    async def apply_policy(self, metadata: ObjectMeta, status: dict[str, Any]) -> dict[str, Any]:
        """Apply to a MigrationPolicy, as to a VMMigration."""
        place = {"group": GROUP, "version": VERSION, "plural": "migrationpolicies", "name": metadata.name}
        read = partial(self._api.get_cluster_custom_object, **place)
        async with _writing(read, metadata, self._tell):
            result: dict[str, Any] = await self._api.patch_cluster_custom_object_status(
                **place,
                body={
                    "apiVersion": API_VERSION,
                    "kind": "MigrationPolicy",
                    "metadata": _version_seen(metadata),
                    "status": status,
                },
                field_manager=self._manager,
                force=True,
                _content_type=_APPLY,
                _request_timeout=REQUEST_TIMEOUT,
            )
        return result


class _MigrationWriter:
    """Writes to VMMigrations other than to their status.

    Args:
        client: The connection.
        tell: Takes what each write took.
    """

    def __init__(self, client: ApiClient, *, tell: Tell = untold) -> None:
        self._api = CustomObjectsApi(client)
        self._tell = tell


class FinalizerWriter(_MigrationWriter):
    """Puts the migration finalizer on objects and takes it off."""

    async def set(self, metadata: ObjectMeta, *, held: bool) -> dict[str, Any]:
        """Add or remove it; the object as it then is.

        The patch holds only for what was looked at, so that nobody else's finalizer is ever lost.

        Raises:
            ConflictError: The object has changed.
            UnavailableError: There was no answer.
            kubernetes.aio.client.ApiException: Refused; 404: it is gone.
        """
        others = [each for each in metadata.finalizers if each != FINALIZER]
        wanted = [*others, FINALIZER] if held else others
        async with _writing(_reading(self._api, metadata), metadata, self._tell, changed=_TEST_FAILED):
            result: dict[str, Any] = await self._api.patch_namespaced_custom_object(
                **_place(metadata),
                body=[
                    _unchanged(metadata),
                    {"op": "add", "path": "/metadata/finalizers", "value": wanted},
                ],
                _content_type=_JSON_PATCH,
                _request_timeout=REQUEST_TIMEOUT,
            )
        return result


class Remover(_MigrationWriter):
    """Deletes migrations."""

    async def remove(self, metadata: ObjectMeta) -> None:
        """Delete this one, if it is as it was seen; a namesake stays.

        Raises:
            ConflictError: The object has changed.
            UnavailableError: There was no answer.
            kubernetes.aio.client.ApiException: Refused; 404: it is gone already.
        """
        seen = V1Preconditions(uid=metadata.uid, resource_version=metadata.resource_version)
        async with _writing(_reading(self._api, metadata), metadata, self._tell):
            await self._api.delete_namespaced_custom_object(
                **_place(metadata),
                body=V1DeleteOptions(preconditions=seen),
                _request_timeout=REQUEST_TIMEOUT,
            )


@asynccontextmanager
async def _writing(
    read: _Read, seen: ObjectMeta, tell: Tell, *, changed: Collection[int] = (_CONFLICT,)
) -> AsyncIterator[None]:
    """Around a write to an object that holds for what was seen.

    Args:
        read: Reads the object anew.
        seen: The object's, as it was seen.
        tell: Takes what the write took.
        changed: The refusals that may mean that the object has changed.

    Raises:
        ConflictError: It has changed.
        UnavailableError: There was no answer.
        kubernetes.aio.client.ApiException: Refused.
    """
    with timed(tell):
        try:
            with asking():
                yield
        except ApiException as error:
            if error.status in changed:
                await _must_be_as_seen(read, seen)
            raise


async def _must_be_as_seen(read: _Read, seen: ObjectMeta) -> None:
    """Look whether it is because an object has changed that something was refused.

    Raises:
        ConflictError: It has.
        kubernetes.aio.client.ApiException: 404: it is gone.
    """
    with asking():
        found = await read(_request_timeout=REQUEST_TIMEOUT)
    if found["metadata"]["uid"] != seen.uid:
        raise ApiException(status=_NOT_FOUND, reason="another object has its name by now")
    if found["metadata"]["resourceVersion"] != seen.resource_version:
        raise ConflictError(found)


def _reading(api: CustomObjectsApi, metadata: ObjectMeta) -> _Read:
    return partial(api.get_namespaced_custom_object, **_place(metadata))


def _place(metadata: ObjectMeta) -> dict[str, Any]:
    return {
        "group": GROUP,
        "version": VERSION,
        "namespace": metadata.namespace,
        "plural": "vmmigrations",
        "name": metadata.name,
    }


def _version_seen(metadata: ObjectMeta) -> dict[str, str | None]:
    return {
        "name": metadata.name,
        "namespace": metadata.namespace,
        "resourceVersion": metadata.resource_version,
    }


def _unchanged(metadata: ObjectMeta) -> dict[str, object]:
    """The test that a JSON patch begins with; a list that is not there can't be tested itself."""
    if metadata.finalizers:
        return {"op": "test", "path": "/metadata/finalizers", "value": list(metadata.finalizers)}
    return {"op": "test", "path": "/metadata/resourceVersion", "value": metadata.resource_version}
