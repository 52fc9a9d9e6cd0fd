"""docs/gitops.md, and what is in manifests/gitops, done with a real API server and kubectl's own kustomize."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.kubectl import Kubectl, KubectlError, kubectl_path
from vmferry_lab.until import until

CHECKOUT = Path(__file__).parents[2]
GITOPS = CHECKOUT / "manifests" / "gitops"
DOCUMENT = (CHECKOUT / "docs" / "gitops.md").read_text()
POLICY_KINDS = "vmferry.io/v1alpha1/MigrationPolicy"


@pytest.fixture
def kubectl(control_plane):
    return Kubectl(control_plane.kubeconfig())


def files_of_the_document(directory):
    """Writes the document's named YAML files."""
    for name, text in re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", DOCUMENT, re.DOTALL):
        (directory / name).write_text(text)


def said_in_the_document(command):
    """What the document says that a command prints."""
    return DOCUMENT.split(f"$ {command}\n")[1].split("\n```")[0].split("\n$ ")[0].strip()


def run(control_plane, directory, command):
    """Runs a command of the document; its exit code, and what it prints."""
    done = subprocess.run(
        [str(kubectl_path()), *command.split()[1:]],
        cwd=directory,
        env=client_environment(control_plane.kubeconfig()),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.mark.parametrize(("file", "code"), [("good.yaml", 0), ("bad.yaml", 1)])
def test_the_dry_runs_of_the_document_say_what_it_says(control_plane, kubectl, tmp_path, file, code):
    files_of_the_document(tmp_path)
    command = f"kubectl apply --server-side --dry-run=server -f {file}"
    assert run(control_plane, tmp_path, command) == (code, said_in_the_document(command))
    with pytest.raises(KubectlError, match="not found"):
        kubectl.run("get", "migpol", "db")


def test_a_pipeline_needs_no_more_rights_than_the_document_says(control_plane, kubectl, tmp_path):
    files_of_the_document(tmp_path)
    said = re.search(r"A pipeline needs (.*) on `(\w+)`", DOCUMENT)
    rule = {"apiGroups": ["vmferry.io"], "resources": [said[2]], "verbs": re.findall(r"`(\w+)`", said[1])}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "ci"}
    about = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "ci"}}
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ci"}
    kubectl.apply(
        {**about, "kind": "ClusterRole", "rules": [rule]},
        {**about, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [user]},
    )

    def applied():
        command = "kubectl apply --as=ci --server-side --dry-run=server -f good.yaml"
        return run(control_plane, tmp_path, command)[0] == 0

    until("the rights to be in force", applied, timeout=30, interval=0.5)
    for kind in ("clusterrolebinding", "clusterrole"):
        kubectl.run("delete", kind, "ci")


@pytest.mark.parametrize("how", [["--server-side"], []])
def test_all_that_the_repository_offers_passes_a_dry_run(kubectl, how):
    for each in (
        "-kmanifests/policies",
        "-flab/vmferry_lab/demo/policy.yaml",
        "-flab/vmferry_lab/demo/migration.yaml",
    ):
        kubectl.run("apply", *how, "--dry-run=server", f"{each[:2]}{CHECKOUT / each[2:]}")


BAD = [
    (
        {"steps": [{"after": {"stalled": "10s"}, "abort": {}, "suspend": {}}]},
        "spec.steps[0]",
        "exactly one of",
    ),
    ({"steps": [{"after": {}, "abort": {}}]}, "spec.steps[0].after", "exactly one of"),
    ({"maxDowntime": "100"}, "spec.maxDowntime", "such as 100ms"),
    ({"retry": {"thenPolicy": "dry-run"}}, "spec.retry.thenPolicy", "must name another policy"),
    ({"bandwidth": {"perMigration": "2Gi", "perNode": "1Gi"}}, "spec.bandwidth.perMigration", "lower it"),
    ({"maxDowntme": "100ms"}, "maxDowntme", "unknown field"),
]
BAD_MIGRATIONS = [
    ({"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-a"}, "spec.targetNode", "must differ"),
    ({"vm": "db-1", "sourceNode": "node-a"}, "spec.targetNode", "Required"),
    (
        {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b", "policyRef": {"name": "No Name"}},
        "spec.policyRef.name",
        "lower-case",
    ),
]


@pytest.mark.parametrize(
    ("kind", "spec", "field", "way_out"),
    [
        *(("MigrationPolicy", *each) for each in BAD),
        *(("VMMigration", *each) for each in BAD_MIGRATIONS),
    ],
)
def test_a_dry_run_names_the_field_and_the_way_out_and_stores_nothing(kubectl, kind, spec, field, way_out):
    manifest = {
        "apiVersion": "vmferry.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "dry-run"},
        "spec": spec,
    }
    with pytest.raises(KubectlError) as refused:
        kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
    assert field in str(refused.value)
    assert way_out in str(refused.value)
    with pytest.raises(KubectlError, match="not found"):
        kubectl.run("get", kind, "dry-run")


def test_a_dry_run_of_an_edit_is_judged_as_an_edit(kubectl, migration):
    name = migration["metadata"]["name"]
    edit = '{"spec": {"targetNode": "node-c"}}'
    with pytest.raises(KubectlError, match="targetNode is immutable; create another VMMigration"):
        kubectl.run("patch", "vmmig", name, "--type=merge", "--dry-run=server", "-p", edit)
    allowed = '{"spec": {"overrides": {"maxDowntime": "1s"}}}'
    kubectl.run("patch", "vmmig", name, "--type=merge", "--dry-run=server", "-p", allowed)
    assert "overrides" not in kubectl.get("vmmig", name)["spec"]


def test_what_is_no_longer_in_git_is_pruned(kubectl, tmp_path):
    def policies(*names):
        text = "---\n".join(
            yaml.safe_dump(
                {
                    "apiVersion": "vmferry.io/v1alpha1",
                    "kind": "MigrationPolicy",
                    "metadata": {"name": name, "labels": {"team": "pruned"}},
                    "spec": {},
                }
            )
            for name in names
        )
        (tmp_path / "policies.yaml").write_text(text)
        prune = ["--prune", "-l", "team=pruned", f"--prune-allowlist={POLICY_KINDS}"]
        return kubectl.run("apply", "-f", str(tmp_path), *prune)

    policies("kept", "removed")
    assert "migrationpolicy.vmferry.io/removed pruned" in policies("kept")
    assert kubectl.run("get", "migpol", "-l", "team=pruned", "-o", "name").split() == [
        "migrationpolicy.vmferry.io/kept"
    ]
    kubectl.run("delete", "migpol", "kept")


def kustomized(kubectl, directory, *options):
    """What kustomize builds of a directory, by kind and name."""
    built = yaml.safe_load_all(kubectl.run("kustomize", *options, str(directory)))
    return {(each["kind"], each["metadata"]["name"]): each for each in built}


@pytest.mark.parametrize("namespace", [{"namespace": "argocd"}, {}])
def test_argo_cd_s_configuration_gets_both_scripts_and_keeps_what_it_has(kubectl, tmp_path, namespace):
    upstream_s = {  # its manifests name no namespace: whoever installs them does
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "data": {"url": "https://argocd.example.com"},
    }
    (tmp_path / "argocd-cm.yaml").write_text(yaml.safe_dump(upstream_s))
    shutil.copytree(GITOPS / "argocd", tmp_path / "component")
    wanted = {**namespace, "resources": ["argocd-cm.yaml"], "components": ["component"]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    built = kustomized(kubectl, tmp_path)
    assert set(built) == {("ConfigMap", "argocd-cm")}
    configuration = built["ConfigMap", "argocd-cm"]
    scripts = {
        f"resource.customizations.health.vmferry.io_{kind}": (
            GITOPS / "argocd" / f"{kind.lower()}-health.lua"
        ).read_text()
        for kind in ("VMMigration", "MigrationPolicy")
    }
    assert configuration["data"] == {**upstream_s["data"], **scripts}
    assert configuration["metadata"].get("namespace") == namespace.get("namespace")


def test_the_examples_name_what_there_is():
    application = yaml.safe_load((GITOPS / "argocd" / "application.yaml").read_text())
    for path in (*(each["path"] for each in flux().values()), application["spec"]["source"]["path"]):
        assert (CHECKOUT / path / "kustomization.yaml").is_file()
    assert all(each["prune"] for each in flux().values())


def flux():
    """What Flux' example says of each of its Kustomizations, by name."""
    objects = yaml.safe_load_all((GITOPS / "flux" / "policies.yaml").read_text())
    return {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Kustomization"}


def applied_by_flux(kubectl, directory, name):
    """What a Kustomization of the example applies, by kind and name: Flux patches as kustomize does."""
    spec = flux()[name]
    (directory / name).mkdir()
    (directory / name / "checkout").symlink_to(CHECKOUT)
    patched = {"resources": [f"checkout/{spec['path']}"], "patches": spec.get("patches", [])}
    (directory / name / "kustomization.yaml").write_text(yaml.safe_dump(patched))
    return kustomized(kubectl, directory / name, "--load-restrictor=LoadRestrictionsNone")


KINDS = {
    ("CustomResourceDefinition", "migrationpolicies.vmferry.io"),
    ("CustomResourceDefinition", "vmmigrations.vmferry.io"),
}


def test_what_flux_prunes_leaves_the_kinds_and_with_them_all_migrations(kubectl, tmp_path):
    kept = {
        object_
        for name in flux()
        for object_, each in applied_by_flux(kubectl, tmp_path, name).items()
        if each["metadata"].get("annotations", {}).get("kustomize.toolkit.fluxcd.io/prune") == "disabled"
    }
    assert kept == {*KINDS, ("Namespace", "vmferry-system")}


def test_flux_applies_all_of_the_base_and_nothing_twice(kubectl, tmp_path):
    """Two that apply the same object take it from each other at each turn."""
    names = [name for name in flux() if name != "migration-policies"]
    applied = [each for name in names for each in applied_by_flux(kubectl, tmp_path, name)]
    assert len(applied) == len(set(applied))
    assert set(applied) == kustomized(kubectl, CHECKOUT / "manifests" / "base").keys()


def test_flux_applies_policies_whatever_has_become_of_operator_and_agents(kubectl, tmp_path):
    """What depends on a Kustomization waits for all in it; agents are not all ready while a host is down."""
    needed = flux()["migration-policies"]["dependsOn"]
    for each in needed:
        assert flux()[each["name"]]["wait"]
        assert not flux()[each["name"]].get("dependsOn")
    waited_for = {one for each in needed for one in applied_by_flux(kubectl, tmp_path, each["name"])}
    assert waited_for == KINDS


def test_argo_cd_s_example_prunes_no_kinds(kubectl):
    application = yaml.safe_load((GITOPS / "argocd" / "application.yaml").read_text())
    assert application["spec"]["syncPolicy"]["automated"]["prune"]
    kinds = {kind for kind, _ in kustomized(kubectl, CHECKOUT / application["spec"]["source"]["path"])}
    assert kinds == {"MigrationPolicy"}
