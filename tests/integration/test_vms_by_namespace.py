"""With the component vms-by-namespace a namespace moves the VMs that its annotation names, and no other."""

import os
import random
import re
from fnmatch import fnmatchcase

import pytest
import yaml
from kubernetes import client, config

from doc_pages import ROOT
from doc_pages.blocks import blocks, commands
from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_lab.kubectl import KubectlError
from vmferry_lab.lab import MANIFESTS, Lab
from vmferry_lab.until import until

NAMESPACE = "team"
PATIENCE = 60.0
_PAGE = "docs/security.md"
DOCUMENTED = [
    each
    for each in blocks(_PAGE, (ROOT / _PAGE).read_text())
    if each.test == "tests/integration/test_vms_by_namespace.py"
]


def means(pattern, vm):
    """Whether a pattern names a VM: as a shell's, but that only * and ? are special."""
    return fnmatchcase(vm, pattern.replace("[", "[[]"))


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory, written):
    """The administrator of a control plane with the component on."""
    lab = Lab(tmp_path_factory.mktemp("vms") / "own")
    lab.up_control_plane(say=lambda _: None)
    lab.kubectl.run("apply", "--server-side", "-k", str(written("components/vms-by-namespace")))
    lab.kubectl.run("create", "namespace", NAMESPACE)
    yield lab.kubectl
    lab.down()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Writes a kustomization of one's own with these components; its directory."""
    directory = tmp_path_factory.mktemp("ours")

    def write(*components):
        base, *others = (os.path.relpath(MANIFESTS / each, directory) for each in ("base", *components))
        own = {"resources": [base], "components": others}
        (directory / "kustomization.yaml").write_text(yaml.safe_dump(own))
        return directory

    return write


@pytest.fixture(scope="module")
def api(kubectl):
    connection = config.new_client_from_config(str(kubectl.kubeconfig))
    yield client.CustomObjectsApi(connection)
    connection.close()


@pytest.fixture(scope="module")
def named(kubectl):
    """Sets the annotation, and hands out what it was set to."""

    def annotate(text):
        given = f"vmferry.io/vms={text}" if text is not None else "vmferry.io/vms-"
        kubectl.run("annotate", "namespace", NAMESPACE, "--overwrite", given)

    return annotate


@pytest.fixture(scope="module")
def refusal(api, named):
    """What is said to a migration of a VM; empty: nothing."""

    def ask(vm):
        spec = {"vm": vm, "sourceNode": "node-a", "targetNode": "node-b"}
        body = {"apiVersion": API_VERSION, "kind": "VMMigration", "metadata": {"name": "any"}, "spec": spec}
        try:
            api.create_namespaced_custom_object(
                GROUP, VERSION, NAMESPACE, "vmmigrations", body, dry_run="All"
            )
        except client.ApiException as error:
            return str(error.body)
        return ""

    def settled(vm, *, mark):
        """Once the API server knows the annotation, by a VM that nothing but its mark names."""
        until("the annotation to count", lambda: ask(mark) == "", timeout=PATIENCE)
        return ask(vm)

    return lambda vm, mark=None: ask(vm) if mark is None else settled(vm, mark=mark)


def test_without_the_annotation_no_vm_may_be_named_and_that_is_said(refusal, named):
    named(None)
    until("admission to act", lambda: refusal("db-1"), timeout=PATIENCE)
    assert (
        "namespace team may not move the VM db-1: it has no annotation vmferry.io/vms that names one; "
        "who administers the cluster can add it there"
    ) in refusal("db-1")


TABLE = [
    ("db-*, web-1", "db-1", True),
    ("db-*, web-1", "db-", True),
    ("db-*, web-1", "web-1", True),
    ("db-*, web-1", "web-11", False),
    ("db-*, web-1", "a-db-1", False),
    ("db-*, web-1", "db", False),
    ("db-*, web-1", " web-1", False),
    ("db-*, web-1", "db-*, web-1", True),
    ("*", "anything at all", True),
    ("w?b", "web", True),
    ("w?b", "wb", False),
    ("w?b", "weeb", False),
    ("a.c", "abc", False),
    ("a.c", "a.c", True),
    ("[ab]", "a", False),
    ("[ab]", "[ab]", True),
    ("a|b", "a", False),
    ("(a)", "(a)", True),
    ("^a$", "a", False),
    ("a\\E.*", "axyz", False),
    ("a\\E.*", "a\\E.xyz", True),
    ("\\Qa\\E", "a", False),
    ("\\*", "\\anything", True),
    ("\\d", "1", False),
    ("", "db-1", False),
    (" , ,", "db-1", False),
    ("db-*", "7a6f0c44-0f1d-4d5b-9d7e-1b2c3d4e5f60", False),
    ("db*", "dbcafe00-0f1d-4d5b-9d7e-1b2c3d4e5f60", False),
    ("DB*", "DBCAFE00-0F1D-4D5B-9D7E-1B2C3D4E5F60", False),
    ("db-*", "db-cafe000f1d4d5b9d7e1b2c3d4e5f60", False),
    ("db *", "db cafe000f1d4d5b9d7e1b2c3d4e5f60", False),
    ("-*", "-dbcafe00-0f1d-4d5b-9d7e-1b2c3d4e5f60", False),
    ("*0", "dbcafe000f1d4d5b9d7e1b2c3d4e5f60", False),
    ("?*", "dbcafe00-0f1d-4d5b-9d7e-1b2c3d4e5f60", False),
    ("7a6f0c44-*", "7a6f0c44-0f1d-4d5b-9d7e-1b2c3d4e5f60", False),
    ("7a6f0c44-0f1d-4d5b-9d7e-1b2c3d4e5f60", "7a6f0c44-0f1d-4d5b-9d7e-1b2c3d4e5f60", True),
    ("7a6f0c44-0f1d-4d5b-9d7e-1b2c3d4e5f60", "7a6f0c440f1d4d5b9d7e1b2c3d4e5f60", False),
    ("*", "7a6f0c44-0f1d-4d5b-9d7e-1b2c3d4e5f60", True),
    ("db-*", "db-cafe000f1d4d5b9d7e1b2c3d4e5f6", True),
    ("Größe ?", "Größe 1", True),
    ("DB-*", "db-1", False),
]


@pytest.mark.parametrize("number", range(len(TABLE)))
def test_a_pattern_names_what_it_says(refusal, named, number):
    text, vm, may = TABLE[number]
    mark = f"mark-{number}"
    named(f"{text}, {mark}")
    said = refusal(vm, mark=mark)
    assert (said == "") is may, said


def test_of_a_uuid_it_is_said_that_it_must_be_named_whole(refusal, named):
    named("db*, of-uuids")
    assert "names only db*, of-uuids, and a UUID must be named whole; who" in refusal(
        "dbcafe00-0f1d-4d5b-9d7e-1b2c3d4e5f60", mark="of-uuids"
    )


def test_an_annotation_of_any_length_and_of_several_lines_counts_and_the_refusal_stays_readable(
    refusal, named
):
    many = [f"a-vm-of-this-team-{number:05d}" for number in range(5000)]
    named(",\n".join([*many, "one\nother", "of-many"]))
    assert "namespace team may not move the VM db-1: " in refusal("db-1", mark="of-many")
    assert refusal(many[-1]) == ""


def test_any_pattern_means_what_a_shell_s_does_but_for_brackets(refusal, named):
    chance = random.Random(7)  # the same each time
    letters = r"ab*?.\QE[]^$(){}|+-d"
    for number in range(40):
        patterns = ["".join(chance.choices(letters, k=chance.randint(1, 6))) for _ in range(3)]
        mark = f"mark-{number}-of-chance"
        named(",".join([*patterns, mark]))
        for pattern in patterns:
            vm = re.sub(r"[*?]", lambda _: chance.choice(letters.replace("*", "").replace("?", "")), pattern)
            for each in (vm, vm + "a", "".join(chance.sample(vm, len(vm)))):
                said = refusal(each, mark=mark)
                assert (said == "") is any(means(p, each) for p in patterns), (patterns, each, said)


@pytest.fixture(scope="module")
def editor_may(kubectl):
    """Whether somebody with `edit` in the namespace may create migrations there."""
    kubectl.run("create", "rolebinding", "editor", "-n", NAMESPACE, "--clusterrole=edit", "--user=editor")

    def ask():
        try:
            said = kubectl.run("auth", "can-i", "create", "vmmigrations", "-n", NAMESPACE, "--as=editor")
        except KubectlError:
            return False  # "no" is an exit code
        return said.strip() == "yes"

    return ask


def test_then_whoever_may_edit_in_a_namespace_may_create_migrations(editor_may):
    until("the role to be added", editor_may, timeout=PATIENCE)


def test_switched_off_and_on_as_the_page_says_nobody_may_create_what_nothing_guards(
    kubectl, refusal, named, written, editor_may
):
    """docs/security.md: off, then on again, looked at after each command."""
    switching_on, switching_off = DOCUMENTED
    named(None)
    until("the role to be added", editor_may, timeout=PATIENCE)
    without, remove = commands(switching_off)
    typed(kubectl, without, written())
    until("edit to be without it", lambda: not editor_may(), timeout=PATIENCE)
    assert refusal("db-1")
    typed(kubectl, remove)
    until("admission to let it pass", lambda: refusal("db-1") == "", timeout=PATIENCE)
    policy, with_it = commands(switching_on)
    typed(kubectl, policy)
    until("admission to act", lambda: refusal("db-1"), timeout=PATIENCE)
    assert not editor_may()
    typed(kubectl, with_it, written("components/vms-by-namespace"))
    until("the role to be added", editor_may, timeout=PATIENCE)


def typed(kubectl, command, ours=None):
    program, *words = command.text.replace("OURS", str(ours)).replace("-f ", f"-f {ROOT}/").split()
    assert program == "kubectl"
    kubectl.run(*words)
