"""`kubectl vmferry` on the real stack: each command as a user runs it, with what it says and its exit code."""

import json
import re

import pytest
import yaml
from asked_migration import NAMESPACE, PATIENCE, Migration
from hopeless import HOPELESS, HOPELESS_GUEST
from plugin_runs import Terminal, completed, run_in_pipe

from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import Phase
from vmferry_lab.components import OPERATOR_NAME
from vmferry_lab.until import until

API_SERVER = "kube-apiserver"
STALLING = {**HOPELESS, "stallingLimit": "2s"}
LADDER = {
    **STALLING,
    "steps": [
        {"after": {"stalled": "1s"}, "setMaxDowntime": "3s"},
        {"after": {"elapsed": "10m"}, "abort": {}},
    ],
}


@pytest.fixture
def plugin(lab):
    """Runs the plugin."""
    return lambda *words: run_in_pipe(lab, *words)


@pytest.fixture
def ask(lab, api, plugin):
    """Asks for a migration with the plugin; after the test it is gone."""
    asked = []

    def migrate(vm, *words):
        done = plugin("migrate", vm, "--from", "node-a", "--to", "node-b", *words)
        assert done.returncode == 0, done.stderr
        name = re.match(r"vmmigration.vmferry.io/(\S+) created", done.stdout)[1]
        asked.append(Migration(name, api))
        return asked[-1], done.stdout

    yield migrate
    for each in asked:
        if each.exists():
            each.delete()
    for each in asked:
        until(f"{each.name} to be gone", lambda one=each: not one.exists(), timeout=PATIENCE)


def stalls(migration):
    return is_true(migration.status.conditions, ConditionType.MIGRATION_STALLING)


def test_migrate_waits_for_the_end_and_describe_tells_how_it_came_to_it(
    start_guest, policy, ask, plugin, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(**LADDER)
    migration, told = ask(guest.name, "--policy", name, "--label", "tier=db", "--wait")
    assert migration.name == f"{guest.name}-to-node-b"
    for text in (
        f"policy {name}: named by spec.policyRef",
        "TargetReady=True: node-b can take the VM",
        "MigrationStalling=True: the needed downtime has not fallen",
        "step 1: setMaxDowntime 10ms → 3s, because: stalled for 1s",
        f"Succeeded: {guest.name} runs on node-b, stopped for",
    ):
        assert text in told
    described = plugin("describe", migration.name)
    assert described.returncode == 0
    for text in (
        "Timeline",
        f"asked for: {guest.name} from node-a to node-b",
        "step 1: setMaxDowntime 10ms → 3s (in force ",
        "attempt 1 ends: Completed",
        "node-a (source)",
        "✔  Complete=True",
        f"kubectl vmferry migrate {guest.name} --from node-b --to node-a",
    ):
        assert text in described.stdout
    assert json.loads(plugin("describe", migration.name, "-o", "json").stdout)["spec"]["vm"] == guest.name
    assert_runs_only_on(guest, "node-b")


def test_watch_is_alive_in_a_terminal_and_ctrl_c_leaves_the_migration_alone(
    lab, start_guest, policy, ask, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    later = [{"after": {"stalled": "1h"}, "setMaxDowntime": "200ms"}]
    migration, _ = ask(guest.name, "--policy", policy(**STALLING, progressTimeout="0s", steps=later))
    migration.passes(2)
    with Terminal(lab, ("watch", migration.name)) as terminal:
        terminal.shows("memory", " pass ", "needed 1.", "granted 10ms")
        terminal.shows("stalling for ", "next", "setMaxDowntime 10ms → 200ms in ", "does not end by itself")
        assert "\x1b[" in terminal.raw
        terminal.type("\x03")
        terminal.shows(
            "goes on without this command", f"kubectl vmferry cancel -n {NAMESPACE} {migration.name}"
        )
        assert terminal.ends() == 130
    assert migration.get().spec.cancel is False
    with Terminal(lab, ("watch", migration.name)) as terminal:
        terminal.shows("memory")
        migration.patch_spec(overrides={"maxDowntime": "3s"})
        terminal.shows("Succeeded", "end", f"{guest.name} runs on node-b")
        assert terminal.ends() == 0
    assert_runs_only_on(guest, "node-b")


def test_watch_outlives_the_api_server(lab, start_guest, policy, ask, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration, _ = ask(guest.name, "--policy", policy(**STALLING, progressTimeout="0s"))
    migration.passes(2)
    with Terminal(lab, ("watch", migration.name)) as terminal:
        terminal.shows("memory")
        lab.stop(API_SERVER, kill=True)
        try:
            terminal.shows("the API server can't be reached", "trying again", "memory")
        finally:
            lab.start(API_SERVER)
        migration.patch_spec(overrides={"maxDowntime": "3s"})
        terminal.shows(f"{guest.name} runs on node-b")
        assert terminal.ends() == 0
    assert_runs_only_on(guest, "node-b")


def test_push_goes_as_far_as_the_policy_allows_and_further_only_when_told(
    start_guest, policy, ask, plugin, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    later = [{"after": {"elapsed": "10m"}, "setMaxDowntime": "200ms"}]
    migration, _ = ask(guest.name, "--policy", policy(**STALLING, steps=later))
    migration.wait("stalling", stalls)
    pushed = plugin("push", migration.name)
    assert pushed.returncode == 0
    assert "a stop of 200ms is granted from now on, and the guest needs" in pushed.stdout
    assert "that may not do; to go further: --max-downtime" in pushed.stdout
    migration.wait("200ms in force", lambda each: each.status.progress.max_downtime.total_seconds() == 0.2)
    again = plugin("push", migration.name)
    assert again.returncode == 1
    assert "its policy allows no more than the 200ms granted" in again.stderr
    done = plugin("push", migration.name, "--max-downtime", "3s", "--wait")
    assert (done.returncode, migration.get().status.phase) == (0, Phase.SUCCEEDED)
    assert plugin("push", migration.name).returncode == 1
    assert_runs_only_on(guest, "node-b")


def test_push_with_post_copy_ends_what_nothing_else_would(
    start_guest, policy, ask, plugin, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    migration, _ = ask(guest.name, "--policy", policy(**STALLING))
    migration.wait("stalling", stalls)
    done = plugin("push", migration.name, "--allow-postcopy", "--wait")
    assert done.returncode == 0, done.stderr
    assert "switches to post-copy at once" in done.stdout
    ended = migration.get()
    assert ended.status.phase == Phase.SUCCEEDED
    assert [each.action for each in ended.status.steps] == ["switchToPostCopy"]
    assert_runs_only_on(guest, "node-b")


def test_cancel_leaves_the_vm_where_it_is(start_guest, policy, ask, plugin, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration, _ = ask(guest.name, "--policy", policy(**STALLING))
    migration.passes(2)
    done = plugin("cancel", migration.name, "--wait")
    assert done.returncode == 0, done.stderr
    assert "is being cancelled" in done.stdout
    assert "Cancelled: cancelled by spec.cancel" in done.stdout
    assert migration.get().status.phase == Phase.CANCELLED
    again = plugin("cancel", migration.name)
    assert (again.returncode, "is over already: Cancelled" in again.stderr) == (1, True)
    assert plugin("watch", migration.name).returncode == 1
    assert_runs_only_on(guest, "node-a")


def test_explain_tells_the_policy_and_policy_diff_what_an_edit_does_to_a_running_migration(
    tmp_path, start_guest, policy, ask, plugin
):
    guest = start_guest(**HOPELESS_GUEST)
    chosen = policy(**STALLING, selector={"names": [guest.name]})
    other = policy(selector={"vms": {"matchLabels": {"tier": "db"}}})
    migration, _ = ask(guest.name)
    migration.passes(2)
    told = plugin("explain", migration.name)
    assert told.returncode == 0
    assert f"Policy  {chosen}: its selector matches (priority 0)" in told.stdout
    assert re.search(rf"{other} +it needs tier=db", told.stdout)
    assert "grants a stop of 10ms at first" in told.stdout
    of_vm = plugin("explain", "never-seen", "--label", "tier=db", "-o", "json")
    assert json.loads(of_vm.stdout)["policy"] == other
    file = tmp_path / "edited.yaml"
    manifest = {"apiVersion": "vmferry.io/v1alpha1", "kind": "MigrationPolicy", "metadata": {"name": chosen}}
    edited = {**STALLING, "selector": {"names": [guest.name]}, "maxDowntime": "400ms"}
    file.write_text(yaml.safe_dump({**manifest, "spec": edited}))
    differs = plugin("policy", "diff", str(file))
    assert differs.returncode == 1
    assert re.search(r"maxDowntime +10ms +→ 400ms +running migrations: at once", differs.stdout)
    assert f"{NAMESPACE}/{migration.name}\n    maxDowntime: 10ms → 400ms" in differs.stdout


def test_doctor_finds_nothing_wrong_with_the_lab(lab, start_guest, ask, plugin):
    guest = start_guest(**HOPELESS_GUEST)
    _, told = ask(guest.name, "--set", "maxDowntime=3s", "--wait")
    assert "Succeeded" in told
    for node in ("node-a", "node-b"):  # an agent's first renewal may be ten seconds after its start
        lease = f"lease/vmferry-agent-{node}"
        lab.kubectl.run("wait", "--for=create", lease, "-n", "vmferry-system", f"--timeout={PATIENCE:g}s")
    done = plugin("doctor")
    assert done.returncode == 0, done.stdout
    for text in (
        "answers; Kubernetes v",
        "CRD migrationpolicies.vmferry.io v1alpha1, the same as this plugin's",
        "CRD vmmigrations.vmferry.io v1alpha1, the same as this plugin's",
        "4 policies are there and bound; what is in them is not compared",
        "agent of node-a",
        "lives (renewed its Lease",
        "operator lives (renewed its Lease",
        "userfaultfd: QEMU",
        "node-a → node-b",
        "certificate of the API server holds until",
        "nothing is wrong",
    ):
        assert text in " ".join(done.stdout.split())
    found = json.loads(plugin("doctor", "-o", "json").stdout)
    assert {each["level"] for each in found} <= {"ok", "note"}


def test_doctor_finds_an_operator_that_does_not_run(lab, plugin):
    def found():
        told = json.loads(plugin("doctor", "-o", "json").stdout)
        return next((each["level"], each["message"]) for each in told if each["subject"] == "operator")

    until("the operator to live", lambda: found()[0] == "ok", timeout=PATIENCE)
    lab.components.stop(OPERATOR_NAME, kill=True)
    try:
        until("its Lease to lapse", lambda: found()[0] == "error", timeout=PATIENCE)
        assert found()[1].startswith("has not renewed its Lease for")
        assert plugin("doctor").returncode == 1
    finally:
        lab.components.start(OPERATOR_NAME)
    until("the operator to live again", lambda: found()[0] == "ok", timeout=PATIENCE)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ("migrate", "vm", "--from", "node-a", "--to", "nod-b"),
            1,
            "there is no Node nod-b; did you mean node-b?",
        ),
        (
            ("migrate", "vm", "--from", "node-a", "--to", "node-b", "--policy", "balance"),
            1,
            "MigrationPolicy balance does not exist; did you mean balanced?",
        ),
        (
            (
                "migrate",
                "vm",
                "--from",
                "node-a",
                "--to",
                "node-b",
                "--set",
                "maxDowntime=3000s",
                "--dry-run",
            ),
            1,
            "maxDowntime must be a duration such as 1s, from 1ms to 2000s",
        ),
        (("watch", "nothing"), 1, "VMMigration default/nothing does not exist"),
        (
            ("watch", "-n", "nowhere", "nothing"),
            1,
            "namespace nowhere does not exist; look at -n",
        ),
        (("describe", "--context", "other", "x"), 3, "there is no context other (there are: vmferry-lab)"),
        (("doctor", "--kubeconfig", "/nowhere"), 3, "the kubeconfig can't be used"),
        (("cancel",), 2, "give names, or -l"),
    ],
)
def test_what_can_not_be_done_is_told_with_the_object_and_the_way_out(plugin, words, code, says):
    done = plugin(*words)
    assert (done.returncode, says in " ".join(done.stderr.split())) == (code, True), done.stderr


def test_a_cluster_that_does_not_answer_is_told_in_a_sentence(lab, plugin, tmp_path):
    config = yaml.safe_load(lab.kubectl.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    done = plugin("watch", "--kubeconfig", str(tmp_path / "config"))
    assert done.returncode == 3
    assert "the API server can't be reached: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_names_are_completed_from_the_cluster(lab, start_guest, policy, ask):
    migration, _ = ask(start_guest(**HOPELESS_GUEST).name, "--policy", policy(**STALLING))
    typed = {"COMP_WORDS": f"vmferry watch {migration.name[:4]}", "COMP_CWORD": "2"}
    assert f"plain,{migration.name}" in completed(lab, **typed)
