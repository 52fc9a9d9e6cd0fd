"""A controller that does not lead: it sees all that a real API server tells, and writes nothing."""

import pytest
from awaited import PATIENCE, true
from kubernetes import client as sync
from kubernetes import config as sync_config
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.config import kube_config

from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_kube.clients import guard
from vmferry_kube.errors import NotLeadingError
from vmferry_lab.controlplane.control_plane import OPERATOR
from vmferry_lab.fixtures import new_lab
from vmferry_operator.controller import Controller

pytestmark = pytest.mark.usefixtures("leaks_nothing")
PLACE = (GROUP, VERSION, "default", "vmmigrations")


@pytest.fixture(scope="module")
def control_plane():
    """One of its own, since the presets of the others' have no status."""
    with new_lab() as lab:
        lab.up_control_plane(say=lambda _: None)
        yield lab.control_plane


@pytest.fixture
def objects(control_plane):
    """The API server, in which the Nodes are that a migration waits for."""
    connection = sync_config.new_client_from_config(str(control_plane.kubeconfig()))
    nodes = sync.CoreV1Api(connection)
    there = {each.metadata.name for each in nodes.list_node().items}
    for name in {"node-a", "node-b"} - there:
        nodes.create_node({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    yield sync.CustomObjectsApi(connection)
    connection.close()


class May:
    """Whether the controller's client may write, and how often it tried in vain."""

    def __init__(self):
        self.write = False
        self.refused = 0

    def __call__(self):
        if not self.write:
            self.refused += 1
            raise NotLeadingError
        return 15.0


@pytest.fixture
async def standby(control_plane, monkeypatch):
    """A controller that follows, and whether it may write."""
    kubeconfig = str(control_plane.kubeconfig(OPERATOR))
    # the client that watches log in by reads $KUBECONFIG when it is imported
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)
    configuration, may = Configuration(), May()
    await config.load_kube_config(kubeconfig, client_configuration=configuration)
    async with ApiClient(configuration) as connected:
        guard(connected, may)
        controller = Controller(connected)
        await controller.start()
        await true("its watches", lambda: not controller.unheard)
        yield controller, may
        may.write = True
        await controller.step_down(grace=PATIENCE)  # what is cut off keeps its socket for a while
        await controller.stop()


class Migration:
    """A VMMigration in the API server."""

    def __init__(self, objects, name):
        self._objects = objects
        self._name = name
        body = {
            "apiVersion": API_VERSION,
            "kind": "VMMigration",
            "metadata": {"name": name},
            "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
        }
        objects.create_namespaced_custom_object(*PLACE, body)

    @property
    def metadata(self):
        return self._objects.get_namespaced_custom_object(*PLACE, self._name)["metadata"]

    @property
    def phase(self):
        found = self._objects.get_namespaced_custom_object(*PLACE, self._name)
        return found.get("status", {}).get("phase")

    def patch(self, **words):
        self._objects.patch_namespaced_custom_object(*PLACE, self._name, words)


async def test_it_decides_nothing_until_it_leads_nor_after_that(standby, objects):
    controller, may = standby
    migration = Migration(objects, "m")
    await true("it to be seen", lambda: controller.state.standing.pending)
    assert (migration.phase, migration.metadata.get("finalizers")) == (None, None)
    assert not controller.state.leads

    may.write = True
    await controller.lead()
    await true("a decision", lambda: migration.phase)
    assert controller.state.leads

    await controller.step_down(grace=PATIENCE)
    may.write = False
    migration.patch(spec={"cancel": True})
    await true("that to be seen", lambda: controller._migrations.all()[0].spec.cancel)
    assert migration.phase == "Pending"
    assert may.refused == 0, "it does not even try"

    may.write = True
    await controller.lead()
    await true("what it missed to be decided", lambda: migration.phase == "Cancelled")


async def test_what_it_begins_to_write_as_its_time_is_over_is_refused_and_is_no_defect(
    standby, objects, caplog
):
    controller, may = standby
    migration = Migration(objects, "late")
    await controller.lead()
    await true("it to try", lambda: may.refused)
    assert migration.phase is None
    assert "Traceback" not in caplog.text
    assert not controller.dead
