"""A watch of a real API server tells whether it works."""

import asyncio
import json
import signal

import kopf
import pytest
import yaml
from awaited import true
from kubernetes.config import kube_config

from vmferry_api import GROUP, VERSION
from vmferry_kube.watching import Watch
from vmferry_lab.controlplane.commands import APISERVER
from vmferry_lab.lab import Lab

pytestmark = pytest.mark.usefixtures("leaks_nothing")


@pytest.fixture
async def watching(monkeypatch):
    """Begins a watch of a control plane as an agent does, and hands it out with the names that it has seen."""
    begun = []

    def log_in(kubeconfig):
        """The client reads $KUBECONFIG when it is imported."""
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))

    def begin(control_plane, node):
        log_in(control_plane.agent_kubeconfig(node))
        seen = []
        watch = Watch(
            plural="vmmigrations",
            seen=lambda event, raw: seen.append(raw["metadata"]["name"]),
            field_selector=f"spec.sourceNode={node}",
            spread=0.5,
        )
        watch.start()
        begun.append(watch)
        return watch, seen

    yield begin
    for each in begun:
        await each.stop()
        assert not each.lives


async def test_it_has_listed_though_there_is_nothing_to_list(watching, control_plane):
    watch, seen = watching(control_plane, "node-without-migrations")
    await true("an answer", lambda: watch.streams_begun >= 1)
    assert watch.heard_at is not None
    assert watch.lives
    assert seen == []


async def test_what_it_is_told_of_shows_that_it_works(watching, control_plane, api):
    watch, seen = watching(control_plane, "node-seen")
    await true("an answer", lambda: watch.streams_begun >= 1)
    listed = watch.heard_at
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "VMMigration",
        "metadata": {"name": "seen"},
        "spec": {"vm": "db-1", "sourceNode": "node-seen", "targetNode": "node-b"},
    }
    api.create_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", body)
    await true("the object", lambda: seen == ["seen"])
    assert watch.heard_at > listed
    api.delete_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", "seen")


async def test_after_the_api_server_was_away_it_listens_again(watching, tmp_path):
    lab = Lab(tmp_path / "other")
    try:
        lab.up_control_plane(say=lambda _: None)
        watch, _ = watching(lab.control_plane, "node-a")
        await true("an answer", lambda: watch.streams_begun >= 1)
        lab.control_plane.stop([APISERVER], how=signal.SIGKILL)
        begun = watch.streams_begun
        lab.control_plane.start_missing()
        await true("another answer", lambda: watch.streams_begun > begun)
    finally:
        lab.down()


async def test_an_api_server_that_does_not_stream_what_there_is_is_asked_for_a_list(watching, tmp_path):
    """As Kubernetes 1.31 and 1.33 are by default."""
    lab = Lab(tmp_path / "older")
    try:
        lab.up_control_plane(say=lambda _: None)
        lab.kubectl.apply(migration("before"))
        older(lab)
        watch, seen = watching(lab.control_plane, "node-seen")
        await true("a stream", lambda: watch.streams_begun >= 1)
        await true("what there was", lambda: seen == ["before"])
        lab.kubectl.apply(migration("after"))
        await true("what came", lambda: seen == ["before", "after"])
    finally:
        lab.down()


def migration(name):
    spec = {"vm": "db-1", "sourceNode": "node-seen", "targetNode": "node-b"}
    kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "VMMigration"}
    return {**kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def older(lab):
    """Start the API server anew, without the feature."""
    record = lab.directory / "control-plane.json"
    described = json.loads(record.read_text())
    described["commands"][APISERVER].append("--feature-gates=WatchList=false")
    record.write_text(json.dumps(described))
    lab.control_plane.stop([APISERVER])
    lab.control_plane.start_missing()


async def test_credentials_that_are_not_taken_are_not_tried_in_a_hurry(watching, control_plane, monkeypatch):
    config = yaml.safe_load(control_plane.agent_kubeconfig("node-a").read_text())
    config["users"][0]["user"] = {"token": "of nobody"}
    stranger = control_plane.kubeconfig().with_name("stranger.kubeconfig")
    stranger.write_text(yaml.safe_dump(config))
    logins = []
    log_in = kopf.login_via_client
    monkeypatch.setattr(kopf, "login_via_client", lambda **words: logins.append(1) or log_in(**words))
    monkeypatch.setattr(type(control_plane), "agent_kubeconfig", lambda self, node: stranger)
    watch, _ = watching(control_plane, "node-a")
    await true("a login", lambda: len(logins) >= 2)
    await asyncio.sleep(1)
    assert watch.streams_begun == 0
    assert len(logins) < 20
