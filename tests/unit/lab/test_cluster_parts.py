"""What of the lab's cluster is decided before anything runs: configurations, images, commands, possibility."""

import json
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from vmferry_lab import cluster_commands
from vmferry_lab.cli import main
from vmferry_lab.cluster import cgroups, node_configuration, pods
from vmferry_lab.cluster.images import write_next, write_pause_archive
from vmferry_lab.controlplane.binaries import Binaries
from vmferry_lab.controlplane.certificates import KeyPair
from vmferry_lab.controlplane.commands import (
    APISERVER,
    CONTROLLER_MANAGER,
    SCHEDULER,
    PodSettings,
    Settings,
    commands,
)
from vmferry_lab.directories import MANIFESTS
from vmferry_lab.errors import LabError
from vmferry_lab.hosts.node_files import binds_table
from vmferry_lab.kubectl import kubectl_path
from vmferry_lab.lab import Lab

PROGRAM = b"\x7fELF, say"


def parsed_containerd():
    text = node_configuration.containerd_toml(plugins=Path("/plugins"), networks=Path("/networks"))
    return tomllib.loads(text)


def test_containerd_makes_no_directory_of_its_own_on_the_machine():
    disabled = parsed_containerd()["disabled_plugins"]
    assert {"io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"} <= set(disabled)


def test_pods_are_started_without_the_right_to_lower_an_oom_score():
    runtime = parsed_containerd()["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["cni"] == {"bin_dirs": ["/plugins"], "conf_dir": "/networks"}


def test_the_pause_image_is_the_one_that_is_imported(tmp_path):
    program, archive = tmp_path / "pause", tmp_path / "pause.tar"
    program.write_bytes(PROGRAM)
    write_pause_archive(program, archive)
    images = parsed_containerd()["plugins"]["io.containerd.cri.v1.images"]
    with tarfile.open(archive) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json"))
        with tarfile.open(fileobj=tar.extractfile("layer.tar")) as layer:
            (member,) = layer
            assert (member.name, member.mode) == ("pause", 0o755)
            assert layer.extractfile(member).read() == PROGRAM
    assert manifest["RepoTags"] == [images["pinned_images"]["sandbox"]]


def test_the_next_image_differs_by_its_tag_and_a_label_alone(tmp_path):
    program, archive, following = tmp_path / "pause", tmp_path / "pause.tar", tmp_path / "next.tar"
    program.write_bytes(PROGRAM)
    write_pause_archive(program, archive)
    assert write_next(archive, following, "2") == "localhost/vmferry-lab/pause:2"
    with tarfile.open(archive) as one, tarfile.open(following) as two:
        (before,) = json.load(one.extractfile("manifest.json"))
        (after,) = json.load(two.extractfile("manifest.json"))
        old, new = json.load(one.extractfile(before["Config"])), json.load(two.extractfile(after["Config"]))
        assert after["Layers"] == before["Layers"]
        assert two.extractfile("layer.tar").read() == one.extractfile("layer.tar").read()
    assert after["RepoTags"] == ["localhost/vmferry-lab/pause:2"]
    assert new["config"].pop("Labels") == {"next": "2"}
    assert new == old


def test_no_two_nodes_give_their_pods_the_same_addresses():
    subnets = {
        json.loads(node_configuration.pod_network(number))["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
        for number in (11, 12)
    }
    assert subnets == {"10.244.11.0/24", "10.244.12.0/24"}


def test_a_kubelet_keeps_to_the_control_group_of_its_node_and_obeys_the_labs_own_clients():
    config = yaml.safe_load(node_configuration.kubelet_yaml(authority=Path("/ca.crt"), cgroup="group"))
    assert config["cgroupRoot"] == "/group"
    assert config["authentication"]["x509"] == {"clientCAFile": "/ca.crt"}
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["volumePluginDir"].startswith("/var/lib/kubelet/")


def test_what_is_mounted_is_a_line_each():
    assert binds_table({Path("/lab/a"): Path("/a"), Path("/lab/b"): Path("/b")}) == "/lab/a /a\n/lab/b /b\n"


def test_no_two_labs_have_a_control_group_in_common():
    assert cgroups.name(Path("/tmp/one"), "node-a") != cgroups.name(Path("/tmp/two"), "node-a")


def test_the_shipped_manifests_are_applied_with_the_number_of_libvirts_group():
    text = pods.kustomization(
        directory=Path("/tmp/lab/manifests"),
        overlay=Path("/src/manifests/overlays/ha"),
        components=[],
        group=64056,
    )
    found = yaml.safe_load(text)
    assert found["resources"] == ["../../../src/manifests/overlays/ha"]
    (patch,) = found["patches"]
    assert patch["target"] == {"group": "apps", "kind": "DaemonSet", "name": "vmferry-agent"}
    (change,) = json.loads(patch["patch"])
    assert (change["op"], change["value"]) == ("replace", [64056])
    assert change["path"] == "/spec/template/spec/securityContext/supplementalGroups"


def test_agents_on_the_nodes_read_how_their_qemu_is_configured(tmp_path):
    written = pods.Pods(archives=[tmp_path], overlay=MANIFESTS / "overlays" / "ha").write(tmp_path / "own")
    built = subprocess.run(
        [kubectl_path(), "kustomize", written], check=True, capture_output=True, text=True, timeout=60
    )
    (agent,) = [each for each in yaml.safe_load_all(built.stdout) if each["kind"] == "DaemonSet"]
    (container,) = agent["spec"]["template"]["spec"]["containers"]
    assert "/etc/libvirt" in {each["mountPath"] for each in container["volumeMounts"]}


def test_images_that_are_missing_are_told_with_what_makes_them(monkeypatch, tmp_path):
    monkeypatch.setattr(pods, "CHECKOUT", tmp_path)
    with pytest.raises(
        LabError, match=r"no image .*vmferry-operator\.tar nor .*vmferry-agent\.tar; run `make images`"
    ):
        pods.Pods.shipped()


def test_without_components_the_api_alone_is_applied(tmp_path):
    without = pods.Pods.shipped(components=False)
    assert without.archives == []
    assert without.write(tmp_path).name == "crds"


def settings(scheduler=None):
    pair = KeyPair(Path("/c"), Path("/k"))
    return Settings(
        data=Path("/d"),
        etcd_port=1,
        peer_port=2,
        apiserver_address="127.0.0.1",
        apiserver_port=3,
        authority=Path("/ca"),
        serving=pair,
        accounts=Path("/a"),
        kubeconfig=Path("/kc"),
        audit_policy=Path("/ap"),
        audit_log=Path("/al"),
        pods=PodSettings(scheduler=scheduler, kubelets=pair) if scheduler else None,
    )


def test_where_there_are_kubelets_pods_are_scheduled_and_controlled():
    binaries = Binaries(Path("/etcd"), Path("/api"), Path("/kcm"))
    without, with_pods = commands(binaries, settings()), commands(binaries, settings(Path("/scheduler")))
    assert SCHEDULER not in without
    assert with_pods[SCHEDULER][0] == "/scheduler"
    assert "--kubelet-client-certificate=/c" in with_pods[APISERVER]
    (controllers,) = [word for word in with_pods[CONTROLLER_MANAGER] if word.startswith("--controllers=")]
    assert controllers.startswith("--controllers=*,-")
    assert "--node-monitor-grace-period=8s" in with_pods[CONTROLLER_MANAGER]


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        ({"memory/x": "", "cpu/x": ""}, "has no controller pids"),
        ({"cgroup.controllers": "cpuset hugetlb"}, "has no controller cpu nor memory nor pids"),
        (
            {"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "cpu"},
            "does not hand cpu, memory",
        ),
    ],
    ids=["version 1", "version 2", "version 2, kept for itself"],
)
def test_a_machine_whose_control_groups_do_not_do_is_told_why(tmp_path, tree, reason):
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(LabError, match=reason):
        cgroups.check_possible(tmp_path)


@pytest.mark.parametrize(
    "tree",
    [
        {"memory/x": "", "cpu/x": "", "pids/x": ""},
        {"cgroup.controllers": "cpu memory pids io", "cgroup.subtree_control": "cpu memory pids"},
    ],
    ids=["version 1", "version 2"],
)
def test_both_versions_of_control_groups_do(tmp_path, tree):
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    cgroups.check_possible(tmp_path)


def test_where_no_cluster_can_be_had_a_script_can_tell_that_from_an_error(monkeypatch):
    def refuse():
        raise LabError("there is no root here")

    monkeypatch.setattr(cluster_commands, "check_cluster_possible", refuse)
    result = CliRunner().invoke(main, ["cluster", "possible"])
    assert (result.exit_code, result.output) == (3, "there is no root here\n")


def test_a_lab_whose_hosts_run_no_pods_says_how_to_get_one_that_has_such(tmp_path):
    (tmp_path / "lab.json").write_text(
        '{"hosts": ["node-a"], "kind": "session", "link": null, "subnet": null}'
    )
    with pytest.raises(LabError, match=r"run no pods; as root bring a lab up by `.*cluster up`"):
        _ = Lab(tmp_path).cluster


def test_where_operator_and_agents_are_pods_it_is_told_how_to_look_at_them(tmp_path):
    (tmp_path / "lab.json").write_text('{"hosts": [], "kind": "cluster", "link": null, "subnet": null}')
    with pytest.raises(LabError, match="are pods here: kubectl -n vmferry-system get pods"):
        _ = Lab(tmp_path).components
