"""What docs/install.md and docs/upgrades.md tell to type, with a real API server and the real helm."""

import os
import subprocess

import pytest
import yaml

from doc_pages import ROOT
from doc_pages.blocks import blocks, commands
from doc_pages.shell import Shell
from doc_pages.shown import missing
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.fixtures import new_lab
from vmferry_lab.helm import find_or_build_helm
from vmferry_lab.kubectl import kubectl_path
from vmferry_lab.until import until

PAGE = "docs/install.md"
TEXT = (ROOT / PAGE).read_text()
BLOCKS = [each for each in blocks(PAGE, TEXT) if each.test == "tests/integration/test_install.py"]
UPGRADES = "docs/upgrades.md"
UPGRADING = [*blocks(UPGRADES, (ROOT / UPGRADES).read_text())]


@pytest.fixture(scope="module")
def kubectl():
    """Of a cluster without vmferry, whose nodes are node-a and node-b."""
    with new_lab() as lab:
        lab.up_control_plane(say=lambda _: None)
        kubectl = lab.kubectl
        kubectl.apply(
            *({"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{x}"}} for x in "ab")
        )
        remove(kubectl)
        yield kubectl


@pytest.fixture
def shell(kubectl, tmp_path):
    """In the checkout, with helm."""
    programs = f"{find_or_build_helm(print).parent}:{kubectl_path().parent}:{os.environ['PATH']}"
    environment = client_environment(kubectl.kubeconfig, {**os.environ, "PATH": programs})
    with Shell(ROOT, tmp_path, environment) as shell:
        yield shell


def remove(kubectl):
    kubectl.run("delete", "-k", str(ROOT / "manifests" / "base"), "--ignore-not-found")
    until(
        "the namespace to be gone",
        lambda: not kubectl.run("get", "ns", "vmferry-system", "--ignore-not-found"),
        timeout=60,
    )


def test_the_commands_of_the_page_do_what_it_says(kubectl, shell):
    by_kustomize, by_helm, _, removing = BLOCKS
    typed(shell, by_kustomize)
    remove(kubectl)
    for block in (by_helm, removing):
        typed(shell, block)
    assert "vmmigrations.vmferry.io" in kubectl.run("get", "crd", "-o", "name")
    kubectl.run("delete", "namespace", "vmferry-system")


def test_helm_takes_over_what_kustomize_has_installed_and_gives_it_back(kubectl, shell):
    overlay = str(ROOT / "manifests" / "overlays" / "ha")
    kubectl.run("apply", "--server-side", "--force-conflicts", "-k", overlay)
    before = operator(kubectl)["metadata"]["uid"]
    _, _, taking_over, _ = BLOCKS
    typed(shell, taking_over)
    upgrade = "helm upgrade vmferry manifests/chart -n vmferry-system --reset-then-reuse-values"
    code, said = shell.run(f"{upgrade} --set operator.replicas=3")
    assert code == 0, said
    kept = operator(kubectl)
    assert kept["metadata"]["uid"] == before
    assert kept["metadata"]["annotations"]["meta.helm.sh/release-name"] == "vmferry"
    assert kept["spec"]["replicas"] == 3
    spread = kept["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [each["whenUnsatisfiable"] for each in spread] == ["ScheduleAnyway"]  # nothing of the overlay's
    labels = kubectl.get("namespace", "vmferry-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    assert shell.run("helm uninstall vmferry -n vmferry-system")[0] == 0
    remove(kubectl)


def test_helm_comes_back_under_another_name_to_the_kinds_that_it_left(kubectl, shell):
    for name, more in (("first", ""), ("second", " --take-ownership")):
        code, said = shell.run(f"helm install {name} manifests/chart -n {name} --create-namespace{more}")
        assert code == 0, said
        assert shell.run(f"helm uninstall {name} -n {name}")[0] == 0
        kubectl.run("delete", "namespace", name)
    remove(kubectl)


@pytest.fixture
def own(tmp_path):
    """Writes a kustomization of an administrator's own."""

    def write(**more):
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own" / "vmferry").unlink(missing_ok=True)
        (tmp_path / "own" / "vmferry").symlink_to(ROOT)
        (tmp_path / "own" / "kustomization.yaml").write_text(yaml.safe_dump(more))
        return tmp_path / "own"

    return write


GROUP = """\
- op: replace
  path: /spec/template/spec/securityContext/supplementalGroups
  value: [986]
"""


def test_an_upgrade_as_the_page_has_it_keeps_what_is_the_cluster_s_own(kubectl, shell, own):
    patches = [{"target": {"kind": "DaemonSet"}, "patch": GROUP}]
    ours = own(resources=["vmferry/manifests/base"], patches=patches)
    (upgrading,) = (each for each in UPGRADING if "OURS" in each.text)
    for _ in ("installs it", "upgrades it"):
        for command in commands(upgrading):
            code, said = shell.run(command.text.replace("OURS", str(ours)))
            assert code == 0, said
        agents = kubectl.get("daemonset", "vmferry-agent", namespace="vmferry-system")
        assert agents["spec"]["template"]["spec"]["securityContext"]["supplementalGroups"] == [986]
        until("nothing to differ", lambda: kubectl.is_as_wanted("-k", str(ours)), timeout=60)
    remove(kubectl)


def test_nothing_is_left_of_components_and_overlays_whatever_is_applied_when_it_is_removed(
    kubectl, shell, own
):
    """The page's way without the plugin; with it: tests/e2e/uninstall."""
    unknown = "$patch: delete\napiVersion: monitoring.coreos.com/v1\nkind: Any\nmetadata: {name: any}\n"
    ours = own(
        resources=["vmferry/manifests/overlays/monitoring"],
        components=["vmferry/manifests/components/vms-by-namespace"],
        patches=[{"target": {"group": "monitoring.coreos.com"}, "patch": unknown}],
    )
    kubectl.run("apply", "--server-side", "-k", str(ours))
    kubectl.run("apply", "--server-side", "-k", str(ROOT / "manifests" / "base"))
    assert "vmferry-vms-by-namespace" in left(kubectl)
    (removing,) = (each for each in UPGRADING if "delete vmmigrations --all" in each.text)
    for command in commands(removing):
        code, said = shell.run(command.text)
        assert code == 0, said
    assert left(kubectl) == ""


def left(kubectl):
    """What there is of vmferry outside of namespaces."""
    kinds = kubectl.run("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    names = kubectl.run("get", ",".join(kinds), "-o", "name").splitlines()
    return "\n".join(each for each in names if "vmferry" in each)


def operator(kubectl):
    return kubectl.get("deployment", "vmferry-operator", namespace="vmferry-system")


def typed(shell, block):
    for command in commands(block):
        code, said = shell.run(command.text)
        assert code == 0, f"{PAGE}:{command.line}: {command.text}\n{said}"
        assert missing(command.shown, said) is None, f"{PAGE}:{command.line}: {command.text}\n{said}"


def test_the_page_names_the_helm_that_its_commands_are_run_with(shell):
    assert "Helm 4: the commands here were run with that" in TEXT
    assert shell.run("helm version --short")[1].startswith("v4.")


def test_the_kustomization_of_the_page_sets_what_it_is_about(tmp_path):
    (written,) = (text for text in TEXT.split("```yaml\n")[1:] if text.startswith("# kustomization.yaml"))
    (tmp_path / "vmferry").symlink_to(ROOT)
    own = written.split("```")[0].replace("path/to/vmferry", "vmferry")
    (tmp_path / "kustomization.yaml").write_text(own)
    words = [str(kubectl_path()), "kustomize", "--load-restrictor=LoadRestrictionsNone", str(tmp_path)]
    built = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout
    objects = list(yaml.safe_load_all(built))
    (network,) = (each for each in objects if each["kind"] == "NetworkPolicy")
    assert [each["port"] for each in network["spec"]["egress"][0]["ports"]] == [443, 16443]
    (agent,) = (each for each in objects if each["kind"] == "DaemonSet")
    pod = agent["spec"]["template"]["spec"]
    assert pod["securityContext"]["supplementalGroups"] == [986]
    assert pod["securityContext"]["runAsNonRoot"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example/team/vmferry-agent:0.2.0"
    assert container["args"] == ["run", "--connect-uri=qemu+tls://$(VMFERRY_NODE)/system"]
    given = {each["name"]: each.get("value") for each in container["env"]}
    assert given["VMFERRY_LOG_FORMAT"] == "json"
    assert given.keys() > {"VMFERRY_NODE", "HOST_IP"}
