"""What is read from and written to the API server."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from kubernetes.client import CoreV1Api, CustomObjectsApi, VersionApi
from pydantic import ValidationError

from kubectl_vmferry.cluster.connection import TIMEOUT, Connection, asking, no_namespace
from kubectl_vmferry.failures import Failure, NotFoundFailure, did_you_mean
from vmferry_api import GROUP, VERSION
from vmferry_api.migrations import VMMigration
from vmferry_api.policies import MigrationPolicy

Raw = dict[str, Any]
"""An object as the API server tells it."""
FIELD_MANAGER = "kubectl-vmferry"
_MIGRATIONS = {"group": GROUP, "version": VERSION, "plural": "vmmigrations"}
_POLICIES = {"group": GROUP, "version": VERSION, "plural": "migrationpolicies"}
_MERGE = "application/merge-patch+json"


class Cluster:
    """The objects that the plugin deals with; all failures are told in words (`cluster.connection.asking`).

    Args:
        connection: To the API server.
    """

    def __init__(self, connection: Connection) -> None:
        self.namespace = connection.namespace
        self.host: str = connection.client.configuration.host
        self.configuration = connection.client.configuration
        self._objects = CustomObjectsApi(connection.client)
        self._core = CoreV1Api(connection.client)
        self._version = VersionApi(connection.client)

    def migration(self, name: str) -> Raw:
        """One migration of the namespace.

        Raises:
            NotFoundFailure: There is none of this name; those that there are, are told.
        """
        what = f"VMMigration {self.namespace}/{name}"
        try:
            with asking(what):
                return _one(
                    self._objects.get_namespaced_custom_object(
                        **_MIGRATIONS, namespace=self.namespace, name=name, _request_timeout=TIMEOUT
                    )
                )
        except NotFoundFailure as error:
            known = self._names_or_none(error)
            if not known:
                cure = f"there are no VMMigrations in namespace {self.namespace}; look at -n"
                raise NotFoundFailure(error.message, cure) from error
            raise NotFoundFailure(error.message, did_you_mean(name, known)) from error

    def _names_or_none(self, cause: NotFoundFailure) -> list[str]:
        """The names of all, for a suggestion.

        Raises:
            NotFoundFailure: They may not be listed; the cause is all that there is to say.
        """
        try:
            return [each["metadata"]["name"] for each in self.migrations()]
        except NotFoundFailure:
            raise
        except Failure:
            raise cause from None

    def migrations(self, *, everywhere: bool = False, selector: str | None = None) -> list[Raw]:
        """The migrations of the namespace, or of all of them."""
        return _items(self.migration_list(everywhere=everywhere, selector=selector))

    def migration_list(self, *, everywhere: bool, selector: str | None) -> Raw:
        """The same with the version of the list.

        Raises:
            NotFoundFailure: There is no such namespace; the API server itself finds nothing in it.
        """
        found = self._listed(everywhere=everywhere, selector=selector)
        if not everywhere and not found["items"]:
            self._namespace_must_exist()
        return found

    def _namespace_must_exist(self) -> None:
        """Who may not look at it is told nothing."""
        try:
            with asking(f"Namespace {self.namespace}"):
                self._core.read_namespace(self.namespace, _request_timeout=TIMEOUT)
        except NotFoundFailure as error:
            raise no_namespace(self.namespace) from error
        except Failure:
            return

    def _listed(self, *, everywhere: bool, selector: str | None) -> Raw:
        where = "in all namespaces" if everywhere else f"in namespace {self.namespace}"
        more = {"label_selector": selector, "_request_timeout": TIMEOUT}
        with asking(f"VMMigrations {where}"):
            if everywhere:
                return _one(self._objects.list_cluster_custom_object(**_MIGRATIONS, **more))
            return _one(
                self._objects.list_namespaced_custom_object(**_MIGRATIONS, namespace=self.namespace, **more)
            )

    def watch_migrations(self, *, everywhere: bool, selector: str | None, version: str, seconds: int) -> Any:  # noqa: ANN401 - urllib3's response, to be read line by line
        """A watch as it comes, to be used within `asking`."""
        more = {
            "label_selector": selector,
            "resource_version": version,
            "timeout_seconds": seconds,
            "watch": True,
            "_preload_content": False,
            "_request_timeout": (TIMEOUT[0], seconds + TIMEOUT[1]),
        }
        if everywhere:
            return self._objects.list_cluster_custom_object(**_MIGRATIONS, **more)
        return self._objects.list_namespaced_custom_object(**_MIGRATIONS, namespace=self.namespace, **more)

    def create_migration(self, body: Mapping[str, Any], *, dry_run: bool = False) -> Raw:
        """Create it, unknown fields refused.

        Raises:
            ConflictFailure: There is one of this name.
        """
        with asking(f"VMMigration {self.namespace}/{body['metadata']['name']}"):
            return _one(
                self._objects.create_namespaced_custom_object(
                    **_MIGRATIONS,
                    namespace=self.namespace,
                    body=dict(body),
                    field_manager=FIELD_MANAGER,
                    field_validation="Strict",
                    _request_timeout=TIMEOUT,
                    **({"dry_run": "All"} if dry_run else {}),
                )
            )

    def change_migration(self, name: str, spec: Mapping[str, Any]) -> Raw:
        """Change fields of its spec; None removes one."""
        with asking(f"VMMigration {self.namespace}/{name}"):
            return _one(
                self._objects.patch_namespaced_custom_object(
                    **_MIGRATIONS,
                    namespace=self.namespace,
                    name=name,
                    body={"spec": dict(spec)},
                    field_manager=FIELD_MANAGER,
                    field_validation="Strict",
                    _content_type=_MERGE,
                    _request_timeout=TIMEOUT,
                )
            )

    def policy(self, name: str) -> Raw:
        """One policy.

        Raises:
            NotFoundFailure: There is none of this name; those that there are, are told.
        """
        try:
            with asking(f"MigrationPolicy {name}"):
                return _one(
                    self._objects.get_cluster_custom_object(**_POLICIES, name=name, _request_timeout=TIMEOUT)
                )
        except NotFoundFailure as error:
            known = [each.metadata.name for each in self.policies()]
            raise NotFoundFailure(error.message, did_you_mean(name, known)) from error

    def policies(self) -> list[MigrationPolicy]:
        """All policies."""
        with asking("MigrationPolicies"):
            listed = self._objects.list_cluster_custom_object(**_POLICIES, _request_timeout=TIMEOUT)
        return [_policy(each) for each in listed["items"]]

    def create_policy(self, body: Mapping[str, Any]) -> Raw:
        """Create it, unknown fields refused."""
        with asking(f"MigrationPolicy {body['metadata']['name']}"):
            return _one(
                self._objects.create_cluster_custom_object(
                    **_POLICIES,
                    body=dict(body),
                    field_manager=FIELD_MANAGER,
                    field_validation="Strict",
                    _request_timeout=TIMEOUT,
                )
            )

    def nodes(self) -> list[str]:
        """The names of all Nodes."""
        with asking("Nodes"):
            return [each.metadata.name for each in self._core.list_node(_request_timeout=TIMEOUT).items]

    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        """All Namespaces by name, with their labels."""
        with asking("Namespaces"):
            items = self._core.list_namespace(_request_timeout=TIMEOUT).items
        return {each.metadata.name: dict(each.metadata.labels or {}) for each in items}

    def namespace_labels(self) -> Mapping[str, str] | None:
        """Those of the namespace; None: it can't be read."""
        try:
            with asking(f"Namespace {self.namespace}"):
                read = self._core.read_namespace(self.namespace, _request_timeout=TIMEOUT)
        except Failure:
            return None
        return dict(read.metadata.labels or {})

    def version(self) -> str:
        """The API server's, such as v1.34.2."""
        with asking("the API server"):
            return str(self._version.get_code(_request_timeout=TIMEOUT).git_version)

    def now(self) -> datetime:
        """The time by the API server's clock, to the second; by this machine's where the server does not tell."""
        with asking("the API server"):
            _, _, headers = self._version.get_code_with_http_info(_request_timeout=TIMEOUT)
        try:
            return parsedate_to_datetime(headers["Date"]).astimezone()
        except (KeyError, ValueError):
            return datetime.now().astimezone()

    def crds(self) -> list[Raw]:
        """All CustomResourceDefinitions."""
        kind = {"group": "apiextensions.k8s.io", "version": "v1", "plural": "customresourcedefinitions"}
        with asking("CustomResourceDefinitions"):
            return _items(self._objects.list_cluster_custom_object(**kind, _request_timeout=TIMEOUT))

    def admission(self) -> tuple[list[Raw], list[Raw]]:
        """All ValidatingAdmissionPolicies, and their bindings."""
        group = {"group": "admissionregistration.k8s.io", "version": "v1", "_request_timeout": TIMEOUT}
        plurals = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
        with asking("ValidatingAdmissionPolicies"):
            policies, bindings = (
                _items(self._objects.list_cluster_custom_object(plural=plural, **group)) for plural in plurals
            )
        return policies, bindings

    def pods(self, namespace: str, selector: str) -> list[Raw]:
        """The Pods of a namespace that have these labels."""
        with asking(f"Pods in namespace {namespace}"):
            found = self._core.list_namespaced_pod(
                namespace, label_selector=selector, _request_timeout=TIMEOUT
            )
        return _items(self._core.api_client.sanitize_for_serialization(found))

    def leases(self, namespace: str) -> list[Raw]:
        """All Leases of a namespace."""
        kind = {"group": "coordination.k8s.io", "version": "v1", "plural": "leases", "namespace": namespace}
        with asking(f"Leases in namespace {namespace}"):
            return _items(self._objects.list_namespaced_custom_object(**kind, _request_timeout=TIMEOUT))


def _one(answer: Any) -> Raw:  # noqa: ANN401 - the client's untyped answer
    found: Raw = answer
    return found


def _items(answer: Any) -> list[Raw]:  # noqa: ANN401 - the client's untyped answer
    found: list[Raw] = answer["items"]
    return found


def read(raw: Raw) -> VMMigration:
    """A migration, as far as it can be read.

    Raises:
        Failure: It can't be.
    """
    with _in_words("VMMigration", raw):
        return VMMigration.read(raw)


def read_in_part(raw: Raw) -> VMMigration:
    """The same; where nothing of its status can be read, the rest.

    Raises:
        Failure: Not even that can be.
    """
    with _in_words("VMMigration", raw):
        try:
            return VMMigration.read(raw)
        except ValidationError as error:
            return VMMigration.read_but_status(raw, error)


def _policy(raw: Raw) -> MigrationPolicy:
    with _in_words("MigrationPolicy", raw):
        return MigrationPolicy.read(raw)


@contextmanager
def _in_words(kind: str, raw: Raw) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        name = raw["metadata"]["name"]
        raise Failure(
            f"{kind} {name} can't be read: {place}: {first['msg']}",
            "use a plugin of the cluster's version (kubectl vmferry doctor)",
        ) from error
