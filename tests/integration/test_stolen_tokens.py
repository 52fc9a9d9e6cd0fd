"""What whoever holds a token tries is refused with the words of docs/security.md, or does what they say."""

import json
import re
from pathlib import Path

import pytest
from kubernetes import config
from stolen_tokens import (
    ADMINISTRATOR,
    DECIDED,
    EDITOR,
    FOREIGN,
    LEASES,
    MIGRATION,
    MIGRATIONS,
    OPERATOR_TOKEN,
    OTHER,
    OVER,
    REPORTED,
    SOURCE,
    TARGET,
    TRIES,
    UNBOUND,
    Try,
    applied,
    lease,
    merged,
)

from vmferry_api.owners import OPERATOR, SOURCE_AGENT, TARGET_AGENT
from vmferry_lab.controlplane.accounts import AGENT_ACCOUNT
from vmferry_lab.controlplane.control_plane import OPERATOR as OPERATOR_USER
from vmferry_lab.kubectl import Kubectl
from vmferry_lab.until import until

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
PATIENCE = 60.0
EDITORS_NAME = "an-editor"


class RefusedError(Exception):
    """What the API server says."""


class Bearer:
    """Asks the API server with one token."""

    def __init__(self, kubeconfig, **headers):
        self._client = config.new_client_from_config(str(kubeconfig))
        self._headers = headers

    def __call__(self, attempt):
        request = self._client.param_serialize(
            attempt.method,
            attempt.path,
            query_params=list(attempt.query.items()),
            header_params={"Content-Type": attempt.content, **self._headers, **attempt.headers},
            body=attempt.body,
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*request)
        said = json.loads(answer.read())
        if answer.status >= 400:
            raise RefusedError(said["message"])
        return said

    def close(self):
        self._client.close()


@pytest.fixture(scope="module")
def bearers(control_plane):
    """By holder."""
    kubectl = Kubectl(control_plane.kubeconfig())
    unbound = control_plane.kubeconfig("unbound")
    known = control_plane.agent_kubeconfig("node-a").read_text()
    token = kubectl.run("create", "token", AGENT_ACCOUNT, "-n", "vmferry-system").strip()
    unbound.write_text(re.sub("token: .*", f"token: {token}", known))
    kubectl.run("create", "rolebinding", EDITORS_NAME, "--clusterrole=edit", f"--user={EDITORS_NAME}")
    break_glass = ["--clusterrole=cluster-admin", "--group=vmferry:break-glass"]
    kubectl.run("create", "clusterrolebinding", "test-break-glass", *break_glass)
    made = {
        SOURCE: Bearer(control_plane.agent_kubeconfig("node-a")),
        TARGET: Bearer(control_plane.agent_kubeconfig("node-b")),
        OTHER: Bearer(control_plane.agent_kubeconfig("node-e")),
        UNBOUND: Bearer(unbound),
        OPERATOR_TOKEN: Bearer(control_plane.kubeconfig(OPERATOR_USER)),
        EDITOR: Bearer(control_plane.kubeconfig(), **{"Impersonate-User": EDITORS_NAME}),
        ADMINISTRATOR: Bearer(control_plane.kubeconfig()),
    }
    yield made
    for each in made.values():
        each.close()
    kubectl.run("delete", "rolebinding", EDITORS_NAME)
    kubectl.run("delete", "clusterrolebinding", "test-break-glass")


@pytest.fixture(scope="module")
def in_force(bearers):
    """Once admission acts; policies take a moment after they were applied."""
    probe = merged(ADMINISTRATOR, "", "/apis/vmferry.io/v1alpha1/migrationpolicies/balanced/status", {})
    probe.query["dryRun"] = "All"

    def refused():
        try:
            bearers[ADMINISTRATOR](probe)
        except RefusedError:
            return True
        return False

    until("admission to act", refused, timeout=PATIENCE)


@pytest.fixture
def migrations(bearers, in_force):
    """The three that are told of in stolen_tokens.py, new for each try, and the operator's Lease."""
    admin = bearers[ADMINISTRATOR]

    def delete(path):
        admin(Try(holder=ADMINISTRATOR, what="", method="DELETE", path=path))

    def create(name, source, target, **metadata):
        spec = {"vm": "db-1", "sourceNode": source, "targetNode": target}
        body = {
            "apiVersion": "vmferry.io/v1alpha1",
            "kind": "VMMigration",
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        admin(Try(holder=ADMINISTRATOR, what="", method="POST", path=MIGRATIONS, body=body))

    delete(LEASES)
    bearers[OPERATOR_TOKEN](lease(OPERATOR_TOKEN, "", "vmferry-operator", held_by="an-operator"))
    create(MIGRATION, "node-a", "node-b")
    create(OVER, "node-a", "node-b")
    create(FOREIGN, "node-c", "node-d", finalizers=["example.com/held"])
    bearers[OPERATOR_TOKEN](applied(OPERATOR_TOKEN, "", DECIDED, by=OPERATOR))
    bearers[OPERATOR_TOKEN](applied(OPERATOR_TOKEN, "", {"phase": "Failed"}, by=OPERATOR, to=OVER))
    bearers[SOURCE](applied(SOURCE, "", REPORTED, by=SOURCE_AGENT))
    yield
    admin(merged(ADMINISTRATOR, "", f"{MIGRATIONS}/{FOREIGN}", {"metadata": {"finalizers": None}}))
    for name in (MIGRATION, OVER, FOREIGN):
        delete(f"{MIGRATIONS}/{name}")
    delete(LEASES)  # or an operator of a later test waits until the one here has lapsed


@pytest.mark.usefixtures("migrations")
@pytest.mark.parametrize("attempt", TRIES, ids=lambda each: f"{each.holder}: {each.what}")
def test_each_try_is_answered_as_the_table_says(bearers, attempt):
    if attempt.refused is None:
        bearers[attempt.holder](attempt)
        return
    with pytest.raises(RefusedError) as refused:
        bearers[attempt.holder](attempt)
    assert attempt.refused in str(refused.value)


@pytest.mark.usefixtures("migrations")
def test_what_is_let_through_on_status_changes_nothing_else(bearers):
    place = f"{MIGRATIONS}/{MIGRATION}"
    look = Try(holder=ADMINISTRATOR, what="", method="GET", path=place)
    before = bearers[ADMINISTRATOR](look)
    body = {
        "metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/x"], "managedFields": [{}]},
        "spec": {"targetNode": "node-e", "cancel": True},
    }
    bearers[SOURCE](merged(SOURCE, "", f"{place}/status", body, by=SOURCE_AGENT))
    assert bearers[ADMINISTRATOR](look) == before


@pytest.mark.usefixtures("migrations")
@pytest.mark.parametrize(
    ("connect_uri", "told"),
    [
        ("qemu+tls://10.0.0.7/system", {}),
        ("qemu+tls://[fd00::7]:16514/system", {"migrationURI": "tcp://[fd00::7]"}),
        (
            "qemu+tls://node-b/system?no_verify=0&tls_priority=NORMAL:-VERS-TLS1.0",
            {"tlsDestination": "node-b.example"},
        ),
        (
            "qemu+tcp://198.18.2.12/system",
            {"migrationURI": "tcp://198.18.2.12:49152", "tlsDestination": "fd00::7"},
        ),
        ("qemu+ssh://root@node-b/system?keyfile=/etc/vmferry/id&no_verify=1", {"migrationURI": "rdma://b:1"}),
        ("qemu+libssh2://node-b/session?sshauth=agent,privkey", {"migrationURI": "tcp://node-b/"}),
        (
            "qemu+unix:///session?socket=/tmp/vmf-x_1/hosts/node-b/run/libvirt-sock",
            {"migrationURI": "tcp://127.0.0.1"},
        ),
    ],
)
def test_a_target_is_reached_by_what_says_how_to_connect(bearers, connect_uri, told):
    target = {"ready": True, "connectURI": connect_uri, **told}
    stored = bearers[TARGET](applied(TARGET, "", {"target": target}, by=TARGET_AGENT))
    assert stored["status"]["target"] == {**stored["status"]["target"], **target}


def row(attempt):
    answer = attempt.means if attempt.refused is None else f"refused: `{attempt.refused}`"
    word = "**let through**: " if attempt.refused is None else ""
    return f"| {attempt.holder} | {attempt.what} | {word}{answer} |"


def test_the_page_tells_each_try_and_its_answer():
    holders = tuple(f"| {each.holder} | " for each in TRIES)
    told = [line for line in PAGE.read_text().splitlines() if line.startswith(holders)]
    assert told == [row(each) for each in TRIES]
