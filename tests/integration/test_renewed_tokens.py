"""A token that ends is replaced by the one that the kubelet has written meanwhile, without a restart."""

import asyncio
import signal
from datetime import timedelta
from urllib.parse import urlsplit

import kubernetes.aio.config.incluster_config
import kubernetes.aio.config.kube_config
import kubernetes.config.incluster_config
import pytest
import yaml
from awaited import true
from kubernetes.aio.client import ApiException, CoordinationV1Api

from vmferry_kube.clients import connect
from vmferry_kube.leases import Lease
from vmferry_kube.watching import Watch
from vmferry_lab.controlplane.accounts import AGENT_ACCOUNT, NAMESPACE, bound_token
from vmferry_lab.controlplane.commands import APISERVER
from vmferry_lab.lab import Lab

pytestmark = pytest.mark.usefixtures("leaks_nothing")
PATIENCE = 90.0
NAME = "vmferry-agent-node-r"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A control plane whose API server may be stopped."""
    own = Lab(tmp_path_factory.mktemp("renewed") / "own")
    own.up_control_plane(say=lambda _: None)
    yield own
    own.down()


class Mounted:
    """The files that the kubelet mounts into a Pod of the agent."""

    def __init__(self, lab, directory):
        self._kubectl = lab.kubectl
        self.token = directory / "token"

    def renew(self, pod):
        """Put the token of another Pod in the place of what was there."""
        self.token.write_text(bound_token(self._kubectl, AGENT_ACCOUNT, pod=pod, node="node-r"))

    def end(self, pod):
        """Have the API server take a Pod's token no more, as if it had run out."""
        self._kubectl.run("delete", "pod", pod, "-n", NAMESPACE, "--grace-period=0", "--force")


@pytest.fixture
def named(lab, tmp_path, monkeypatch):
    """A kubeconfig that names the file of the token."""
    config = yaml.safe_load(lab.control_plane.agent_kubeconfig("node-r").read_text())
    files = Mounted(lab, tmp_path)
    config["users"][0]["user"] = {"tokenFile": str(files.token)}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    monkeypatch.setattr(kubernetes.aio.config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    return files


@pytest.fixture
def mounted(lab, tmp_path, monkeypatch):
    """A Pod's environment in this process."""
    cluster = yaml.safe_load(lab.control_plane.kubeconfig().read_text())["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", server.hostname)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    files = Mounted(lab, tmp_path)
    for module in (kubernetes.aio.config.incluster_config, kubernetes.config.incluster_config):
        monkeypatch.setattr(module, "SERVICE_TOKEN_FILENAME", str(files.token))
        monkeypatch.setattr(module, "SERVICE_CERT_FILENAME", cluster["certificate-authority"])
    return files


@pytest.mark.parametrize("where", ["mounted", "named"])
async def test_a_client_goes_on_with_a_token_that_was_renewed(where, request):
    mounted = request.getfixturevalue(where)
    mounted.renew("first")
    async with connect(read_again=timedelta(0)) as client:
        lease = Lease(client, namespace=NAMESPACE, name=NAME, holder="node-r_boot")
        await lease.renew()
        await asyncio.to_thread(mounted.end, "first")
        await refused(client)
        await asyncio.to_thread(mounted.renew, "second")
        await lease.renew()


async def refused(client):
    """Until the API server takes the token no more; it remembers for some seconds that it did."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await CoordinationV1Api(client).read_namespaced_lease(NAME, NAMESPACE)
            except ApiException as error:
                if error.status == 401:
                    return
                raise
            await asyncio.sleep(0.5)


async def test_a_watch_begins_again_with_the_token_that_the_kubelet_has_renewed(lab, mounted):
    mounted.renew("first")
    watch = Watch(plural="vmmigrations", seen=lambda event, raw: None, spread=0.5)
    watch.start()
    try:
        await true("the watch to begin", lambda: watch.streams_begun >= 1, PATIENCE)
        await asyncio.to_thread(mounted.end, "first")
        await asyncio.to_thread(mounted.renew, "second")
        lab.control_plane.stop([APISERVER], how=signal.SIGKILL)
        begun = watch.streams_begun
        lab.control_plane.start_missing()
        await true("it to begin again", lambda: watch.streams_begun > begun, PATIENCE)
    finally:
        await watch.stop()
    assert not watch.lives
