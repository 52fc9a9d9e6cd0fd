"""The operator's requests do not wait behind those of all service accounts."""

import pytest
from kubernetes import client, config

from generate_chart import NAMESPACE
from vmferry_api import GROUP, VERSION
from vmferry_lab.kubectl import Kubectl


@pytest.mark.parametrize(
    ("account", "schema", "level"),
    [
        ("vmferry-operator", "vmferry-operator", "workload-high"),
        ("vmferry-agent", "service-accounts", "workload-low"),
    ],
)
def test_requests_are_sorted_by_who_asks(control_plane, account, schema, level):
    connection = config.new_client_from_config(str(control_plane.kubeconfig()))
    connection.set_default_header("Impersonate-User", f"system:serviceaccount:{NAMESPACE}:{account}")
    connection.set_default_header("Impersonate-Group", "system:serviceaccounts")
    objects = client.CustomObjectsApi(connection)
    _, _, headers = objects.list_cluster_custom_object_with_http_info(GROUP, VERSION, "vmmigrations", limit=1)
    connection.close()
    kubectl = Kubectl(control_plane.kubeconfig())
    assert headers["X-Kubernetes-Pf-Flowschema-Uid"] == kubectl.get("flowschema", schema)["metadata"]["uid"]
    found = kubectl.get("prioritylevelconfiguration", level)["metadata"]["uid"]
    assert headers["X-Kubernetes-Pf-Prioritylevel-Uid"] == found
