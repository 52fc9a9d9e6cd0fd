"""What the API server says, in words: what happened, to which object, and what to do."""

import json

import pytest
import yaml
from kubernetes.client import ApiException
from urllib3.exceptions import MaxRetryError, NewConnectionError, ReadTimeoutError

from kubectl_vmferry.cluster.connection import Access, asking, connect
from kubectl_vmferry.cluster.objects import read
from kubectl_vmferry.failures import (
    ConflictFailure,
    Failure,
    NotFoundFailure,
    UnreachableFailure,
)

WHAT = "VMMigration default/db-1"


def refusal(status, message):
    error = ApiException(status=status)
    error.body = json.dumps({"message": message})
    return error


def told(error):
    with pytest.raises(Failure) as failed, asking(WHAT):
        raise error
    return failed.value


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (refusal(404, 'vmmigrations "db-1" not found'), NotFoundFailure, f"{WHAT} does not exist"),
        (
            refusal(404, "the server could not find the requested resource"),
            NotFoundFailure,
            f"{WHAT}: the cluster does not know vmferry's API; install it: `kubectl apply -k crds`",
        ),
        (refusal(404, 'namespaces "n" not found'), NotFoundFailure, "namespace n does not exist; look at -n"),
        (refusal(409, "already exists"), ConflictFailure, f"{WHAT}: already exists"),
        (
            refusal(401, "Unauthorized"),
            UnreachableFailure,
            f"{WHAT}: the API server does not know who asks (401); log in again, or look at --context",
        ),
        (
            refusal(403, "you may not"),
            Failure,
            f"{WHAT}: you may not; ask your cluster's administrator for this right",
        ),
        (refusal(422, "spec.vm: Invalid"), Failure, f"{WHAT}: refused: spec.vm: Invalid"),
        (refusal(400, "strict decoding"), Failure, f"{WHAT}: the API server answers 400: strict decoding"),
        (
            refusal(503, "starting"),
            UnreachableFailure,
            f"{WHAT}: the API server answers 503: starting; try again",
        ),
        (
            ApiException(status=500, reason="Oops"),
            UnreachableFailure,
            f"{WHAT}: the API server answers 500: Oops; try again",
        ),
        (
            NewConnectionError(None, "Failed to establish a new connection: [Errno 111] Connection refused"),
            UnreachableFailure,
            f"{WHAT}: the API server can't be reached: [Errno 111] Connection refused; migrations that run go on",
        ),
        (
            MaxRetryError(None, "/", reason=NewConnectionError(None, "no: Connection refused")),
            UnreachableFailure,
            f"{WHAT}: the API server can't be reached: Connection refused; migrations that run go on",
        ),
        (
            ReadTimeoutError(None, "/", "Read timed out."),
            UnreachableFailure,
            f"{WHAT}: the API server does not answer in time; migrations that run go on; try again",
        ),
        (
            ConnectionResetError("reset"),
            UnreachableFailure,
            f"{WHAT}: the API server can't be reached: reset; migrations that run go on",
        ),
    ],
)
def test_a_refusal_is_told_with_the_object_and_the_way_out(error, kind, message):
    failed = told(error)
    assert type(failed) is kind
    assert failed.message.startswith(message)
    assert failed.exit_code == (3 if kind is UnreachableFailure else 1)


def kubeconfig(tmp_path, **context):
    path = tmp_path / "config"
    clusters = [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]
    contexts = [
        {"name": name, "context": {"cluster": "c", "user": "u", **more}} for name, more in context.items()
    ]
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": clusters,
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": contexts,
                "current-context": next(iter(context)),
            }
        )
    )
    return str(path)


@pytest.mark.parametrize(
    ("access", "namespace"),
    [({}, "prod"), ({"context": "other"}, "default"), ({"namespace": "mine"}, "mine")],
)
def test_the_namespace_is_the_contexts_unless_named(tmp_path, access, namespace):
    config = kubeconfig(tmp_path, main={"namespace": "prod"}, other={})
    assert connect(Access(kubeconfig=config, **access)).namespace == namespace


@pytest.mark.parametrize("content", ["", "a: [", "7", "kind: Config"])
def test_a_file_that_is_no_kubeconfig_is_told(tmp_path, content):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(UnreachableFailure, match="the kubeconfig can't be used"):
        connect(Access(kubeconfig=str(path)))


def test_without_any_configuration_the_way_to_one_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(UnreachableFailure, match="give --kubeconfig, or set KUBECONFIG"):
        connect(Access())


def test_an_object_that_can_not_be_read_is_named():
    broken = {"metadata": {"name": "db-1"}, "spec": {}, "status": {"phase": "Levitating"}}
    with pytest.raises(
        Failure, match=r"VMMigration db-1 can't be read: spec.vm: Field required; use a plugin"
    ):
        read(broken)
