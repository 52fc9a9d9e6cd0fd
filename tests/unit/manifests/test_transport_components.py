"""How hosts reach each other, as the components of the manifests change it."""

import os

import pytest
from objects_by_name import by_name

from generate_chart import MANIFESTS, kustomized
from vmferry_agent.uris import connect_uri, migration_uri
from vmferry_api.transports import why_readable

GIVEN = {"$(HOST_IP)": "10.0.0.7", "$(VMFERRY_NODE)": "node-a"}


def flags(tmp_path, *components):
    """The agent's, with the base and these components."""
    names = ["base", *(f"components/{each}" for each in components)]
    base, *others = (os.path.relpath(MANIFESTS / each, tmp_path) for each in names)
    (tmp_path / "kustomization.yaml").write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{base}]\ncomponents: [{', '.join(others)}]\n"
    )
    agent = by_name(kustomized(tmp_path))["DaemonSet", "vmferry-agent"]
    command, *given = agent["spec"]["template"]["spec"]["containers"][0]["args"]
    assert command == "run"
    found = dict(each.removeprefix("--").split("=", 1) for each in given)
    for variable, value in GIVEN.items():
        found = {name: each.replace(variable, value) for name, each in found.items()}
    return found


@pytest.mark.parametrize(
    ("components", "uri", "encrypted"),
    [
        ([], "qemu+tls://10.0.0.7/system", True),
        (["libvirt-tls-by-name"], "qemu+tls://node-a/system", True),
        (["libvirt-tcp"], "qemu+tcp://10.0.0.7/system", False),
    ],
)
def test_without_a_component_that_weakens_it_hosts_reach_each_other_encrypted(
    components, uri, encrypted, tmp_path
):
    found = flags(tmp_path, *components)
    assert connect_uri(found["connect-uri"]) == uri
    assert (why_readable(connect_uri=uri, migration_uri=found.get("migration-uri")) is None) == encrypted


def test_names_are_for_the_stream_as_well(tmp_path):
    assert migration_uri(flags(tmp_path, "libvirt-tls-by-name")["migration-uri"]) == "tcp://node-a"
