"""A connection to the API server by the user's kubeconfig, as kubectl makes it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError
from urllib3.exceptions import TimeoutError as LateError
from yaml import YAMLError

from kubectl_vmferry.failures import ConflictFailure, Failure, NotFoundFailure, UnreachableFailure

TIMEOUT = (5.0, 15.0)
"""Seconds to connect, and to the answer."""
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _INVALID, _TOO_MANY = 401, 403, 404, 409, 422, 429
_SERVER_ERRORS = 500


@dataclass(frozen=True, kw_only=True)
class Access:
    """Which cluster, and where in it, in kubectl's words."""

    kubeconfig: str | None = None
    """A file; None: $KUBECONFIG, or ~/.kube/config, or the service account of a Pod."""
    context: str | None = None
    namespace: str | None = None
    """None: the context's."""
    all_namespaces: bool = False


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A client, and the namespace that is meant where none is named."""

    client: ApiClient
    namespace: str


def connect(access: Access) -> Connection:
    """Connect; nothing is asked yet.

    Raises:
        UnreachableFailure: There is no configuration to go by.
    """
    try:
        contexts, current = config.list_kube_config_contexts(config_file=access.kubeconfig)
        chosen = _context(contexts, current, access.context)
        settings = Configuration()
        settings.retries = False  # to try again is for whoever asks to decide
        client = config.new_client_from_config(
            config_file=access.kubeconfig,
            context=access.context,
            persist_config=False,
            client_configuration=settings,
        )
    except (config.ConfigException, YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        if access.kubeconfig is None and access.context is None:
            return _of_the_pod(access, error)
        raise UnreachableFailure(
            f"the kubeconfig can't be used: {_one_line(error)}", "look at --kubeconfig and --context"
        ) from error
    namespace = access.namespace or (chosen.get("context") or {}).get("namespace") or "default"
    return Connection(client=client, namespace=namespace)


def _context(contexts: list[dict[str, Any]], current: dict[str, Any], name: str | None) -> dict[str, Any]:
    if name is None:
        return current
    found = next((each for each in contexts if each["name"] == name), None)
    if found is None:
        known = ", ".join(each["name"] for each in contexts)
        raise config.ConfigException(f"there is no context {name} (there are: {known})")
    return found


def _of_the_pod(access: Access, cause: Exception) -> Connection:
    try:
        config.load_incluster_config()
    except config.ConfigException:
        raise UnreachableFailure(
            f"there is no cluster to talk to: {_one_line(cause)}", "give --kubeconfig, or set KUBECONFIG"
        ) from cause
    own = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    inside = own.read_text().strip() if own.exists() else "default"
    return Connection(client=ApiClient(), namespace=access.namespace or inside)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Around each request.

    Args:
        what: What is asked for, with the object, such as `VMMigration default/db-1`.

    Raises:
        NotFoundFailure: There is no such object, or no such API.
        ConflictFailure: An object has this name already.
        UnreachableFailure: There was no answer.
        Failure: Refused.
    """
    try:
        yield
    except ApiException as error:
        raise _refusal(what, error) from error
    except (HTTPError, OSError) as error:
        raise _no_answer(what, error) from error


def _no_answer(what: str, error: Exception) -> UnreachableFailure:
    late = isinstance(error, LateError) and not isinstance(error, NewConnectionError)
    if late:
        return UnreachableFailure(
            f"{what}: the API server does not answer in time", "migrations that run go on; try again"
        )
    return UnreachableFailure(
        f"{what}: the API server can't be reached: {_reason(error)}",
        "migrations that run go on; look at `kubectl cluster-info`",
    )


def no_namespace(name: str) -> NotFoundFailure:
    """There is no such Namespace."""
    return NotFoundFailure(f"namespace {name} does not exist", "look at -n, and `kubectl get namespaces`")


def _refusal(what: str, error: ApiException) -> Failure:
    said = _said(error)
    if error.status == _NOT_FOUND:
        return _not_found(what, said)
    if error.status == _CONFLICT:
        return ConflictFailure(f"{what}: {said}")
    if error.status == _UNAUTHORIZED:
        cure = "log in again, or look at --context"
        return UnreachableFailure(f"{what}: the API server does not know who asks (401)", cure)
    if error.status == _FORBIDDEN:
        return Failure(f"{what}: {said}", "ask your cluster's administrator for this right")
    if error.status == _TOO_MANY or (error.status or 0) >= _SERVER_ERRORS:
        return UnreachableFailure(f"{what}: the API server answers {error.status}: {said}", "try again")
    answers = "refused" if error.status == _INVALID else f"the API server answers {error.status}"
    return Failure(f"{what}: {answers}: {said}")


def _not_found(what: str, said: str) -> Failure:
    namespace = re.fullmatch('namespaces "(.*)" not found', said)
    if namespace is not None:
        return no_namespace(namespace[1])
    if "could not find the requested resource" in said or "page not found" in said:
        return NotFoundFailure(
            f"{what}: the cluster does not know vmferry's API", "install it: `kubectl apply -k crds`"
        )
    return NotFoundFailure(f"{what} does not exist")


def _said(error: ApiException) -> str:
    """The message of the API server's Status object."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return _one_line(error.body or error.reason or "")


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
    # urllib3 puts the connection object before the words
    return _one_line(cause).rpartition(": ")[2] or type(cause).__name__


def _one_line(what: object) -> str:
    return " ".join(str(what).split())
