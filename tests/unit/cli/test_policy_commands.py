"""policy lint and policy diff as a user meets them, without a cluster; and what an edit does to migrations."""

import json

import pytest
import yaml
from click.testing import CliRunner
from migrations_shown import at, migration, policy, running

from kubectl_vmferry.main import main
from kubectl_vmferry.policy_changes import consequences, field_changes
from kubectl_vmferry.policy_warnings import warnings


def text(name="p", **spec):
    return yaml.safe_dump(
        {
            "apiVersion": "vmferry.io/v1alpha1",
            "kind": "MigrationPolicy",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def run(*words, given=None):
    return CliRunner().invoke(main, ["policy", *words], input=given)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Writes files, and tells their names."""
    monkeypatch.chdir(tmp_path)

    def write(**texts):
        for name, each in texts.items():
            (tmp_path / f"{name}.yaml").write_text(each)
        return [f"{name}.yaml" for name in texts]

    return write


def test_a_good_policy_is_ok_and_other_objects_are_passed_over(files):
    done = run("lint", *files(good=text(maxDowntime="1s"), other="kind: Kustomization"))
    assert (done.exit_code, done.output) == (
        0,
        "other.yaml: passed over: no MigrationPolicy\ngood.yaml: p: ok\n",
    )


def test_of_a_directory_all_manifests_are_looked_at_and_others_passed_over(files, tmp_path):
    files(good=text())
    below = tmp_path / "below"
    below.mkdir()
    (below / "bad.yml").write_text(text("Bad"))
    (below / "broken.json").write_text("{kind: MigrationPolicy")
    (below / "template.yaml").write_text("{{ range . }}")
    (below / "notes.txt").write_text("[")
    done = run("lint", "-o", "json", str(tmp_path))
    levels = {each["file"].rpartition("/")[2]: each["level"] for each in json.loads(done.output)}
    assert levels == {
        "good.yaml": "ok",
        "bad.yml": "error",
        "broken.json": "error",
        "template.yaml": "passed over",
    }
    assert done.exit_code == 1
    empty = below / "empty"
    empty.mkdir()
    assert "there is no .json, .yaml, .yml in it" in run("lint", str(empty)).output


def test_all_that_is_wrong_is_told_at_once(files):
    bad = text(name="Bad", maxDowntime="soon", priority="1", steps=[{"after": {"passes": 1}}]).replace(
        "spec:", "spce: {}\nspec:"
    )
    done = run("lint", *files(bad=bad))
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        "bad.yaml: Bad: error: metadata.name: 'Bad' can't be a name: lower-case letters, digits, - and .",
        "bad.yaml: Bad: error: spce: there is no such field; did you mean spec?",
        "bad.yaml: Bad: error: spec.priority: Input should be a valid integer",
        "bad.yaml: Bad: error: spec.maxDowntime: 'soon' is not a duration such as 150ms, 10s or 2m30s",
    ]


def test_rules_of_the_api_and_of_qemu_are_checked(files):
    start = {"compression": {"method": "XBZRLE"}, "parallelConnections": 2}
    done = run(
        "lint", *files(bad=text(start=start, steps=[{"after": {"passes": 1}, "setMaxDowntime": "1ms"}]))
    )
    assert "spec.start.compression: XBZRLE and parallelConnections exclude each other in QEMU" in done.output
    assert "setMaxDowntime must be above the policy's maxDowntime (300ms unless given)" in done.output


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("a: [", "<stdin>: error: not YAML"),
        ("a: 1\na: 2", "<stdin>: error: not YAML: while reading a mapping"),
        ("kind: Namespace", "<stdin>: error: there is no MigrationPolicy in it"),
        (text().replace("spec: {}", ""), "<stdin>: p: error: spec: Field required"),
    ],
)
def test_a_file_that_holds_nothing_to_check_fails(given, says):
    done = run("lint", "-", given=given)
    assert (done.exit_code, says in done.output) == (1, True), done.output


def test_warnings_fail_only_when_they_are_to(files):
    (name,) = files(odd=text(steps=[{"after": {"stalled": "3m"}, "abort": {}}]))
    assert (run("lint", name).exit_code, run("lint", name, "--strict").exit_code) == (0, 1)
    (found,) = json.loads(run("lint", name, "-o", "json").output)
    assert (found["level"], found["policy"]) == ("warning", "p")


def test_two_policies_of_one_name_are_told(files):
    done = run("lint", *files(a=text(), b=text()))
    assert done.output.count("another policy in these files has this name, too") == 2


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (
            {"steps": [{"after": {"stalled": "140s"}, "abort": {}}]},
            "spec.steps[0].after.stalled: never reached: stallingLimit and stalled are 2m30s, and progressTimeout",
        ),
        (
            {
                "steps": [
                    {"after": {"stalled": "1s"}, "suspend": {}},
                    {"after": {"stalled": "3m"}, "abort": {}},
                ]
            },
            "spec.steps[1].after.stalled: never reached: stalled is 3m, and progressTimeout (2m30s)",
        ),
        ({"steps": [{"after": {"stalled": "139s"}, "abort": {}}]}, None),
        ({"steps": [{"after": {"stalled": "9m"}, "abort": {}}], "progressTimeout": "0s"}, None),
        (
            {"steps": [{"after": {"passes": 9}, "setMaxDowntime": "1s"}], "progressTimeout": "0s"},
            "spec.steps: nothing ends a migration that does not converge: no step does, ",
        ),
        (
            {
                "steps": [{"after": {"passes": 9}, "setMaxDowntime": "1s"}],
                "progressTimeout": "0s",
                "timeout": {"base": "1h"},
            },
            None,
        ),
        (
            {
                "start": {"parallelConnections": 2},
                "steps": [{"after": {"passes": 9}, "switchToPostCopy": {}}],
            },
            "spec.start.parallelConnections: excludes the policy's post-copy on hosts before QEMU 10.1",
        ),
        (
            {"retry": {"thenPolicy": "gone"}},
            "spec.retry.thenPolicy: gone is in none of these files; it must be in the cluster",
        ),
    ],
)
def test_what_hardly_anybody_can_have_meant_is_a_warning(spec, says):
    found = warnings(policy(**spec))
    assert len(found) == (says is not None)
    assert says is None or found[0].startswith(says)


def test_a_second_global_default_is_a_warning():
    one, other = policy("a", globalDefault=True), policy("b", globalDefault=True)
    assert warnings(one, [one, other]) == [
        "spec.globalDefault: so is b; the highest priority wins, then the name"
    ]


OLD = {"maxDowntime": "100ms", "steps": [{"after": {"stalled": "2s"}, "setMaxDowntime": "500ms"}]}
NEW = {**OLD, "maxDowntime": "400ms", "start": {"autoConverge": {}}, "priority": 3}


def test_a_diff_of_two_files_tells_each_field_and_what_it_acts_on(files):
    done = run("diff", *files(old=text(**OLD), new=text(**NEW)), "--offline")
    assert done.exit_code == 1
    shown = [" ".join(line.split()) for line in done.output.splitlines()]
    assert shown == [
        "MigrationPolicy p: changed",
        "maxDowntime 100ms → 400ms running migrations: at once",
        "priority 0 → 3 what is selected from now on",
        "start.autoConverge.increment - → 10 from the next attempt on",
        "start.autoConverge.initial - → 20 from the next attempt on",
    ]


def test_steps_are_compared_as_a_list_in_which_one_may_come_or_go():
    first = {"after": {"stalled": "2s"}, "setMaxDowntime": "500ms"}
    second = {"after": {"passes": 5}, "restart": {"start": {"autoConverge": {"initial": 60}}}}
    last = {"after": {"elapsed": "5m"}, "abort": {}}
    changes = field_changes(policy(steps=[first, second, last]).spec, policy(steps=[first, last]).spec)
    restart = "restart start.autoConverge.initial=60 start.autoConverge.increment=10 after passes 5"
    assert [(each.field, each.old, each.new) for each in changes] == [("step 2", restart, None)]
    changes = field_changes(
        policy(steps=[last]).spec, policy(steps=[first, {**last, "after": {"elapsed": "6m"}}]).spec
    )
    assert [(each.field, each.old, each.new) for each in changes] == [
        ("step 1", "abort after elapsed 5m", "setMaxDowntime 500ms after stalled 2s"),
        ("step 2", None, "abort after elapsed 6m"),
    ]


def test_nothing_differs_from_itself(files):
    (name,) = files(same=text(**OLD))
    done = run("diff", name, name, "--offline")
    assert (done.exit_code, done.output) == (0, "nothing differs\n")


def test_a_file_that_can_not_be_used_is_no_difference(files, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff")
    (good, bad) = files(good=text(), bad="a: [")
    for new in ("none.yaml", bad, "binary"):
        assert run("diff", "--offline", good, new).exit_code == 2


def test_new_and_removed_policies_are_told(files):
    done = run("diff", *files(old=text("gone"), new=text("new")), "--offline")
    assert "MigrationPolicy gone: removed" in done.output
    assert "MigrationPolicy new: new" in done.output


def test_a_start_that_restarts_on_edit_says_so():
    old = policy(restartOnEdit=True).spec
    new = policy(restartOnEdit=True, start={"zeroCopy": False}).spec
    assert [each.effect for each in field_changes(old, new)] == ["running migrations start again with it"]


@pytest.mark.parametrize("words", [["diff", "a", "b", "c"], ["diff", "a", "--offline"]])
def test_the_wrong_number_of_files_is_wrong_usage(words, files):
    files(a=text(), b=text(), c=text())
    assert run(*(f"{each}.yaml" if len(each) == 1 else each for each in words)).exit_code == 2


def follows(edited, *migrations, policies=()):
    labels = {"default": {"team": "a"}}
    found = consequences(edited, migrations, policies, labels, now=at(30))
    return {each.migration: list(each.changes) for each in found}


def test_a_running_migration_follows_an_edit_as_the_operator_would_have_it():
    edited = policy(maxDowntime="400ms", steps=[{"after": {"passes": 4}, "abort": {}}], stallingLimit="9s")
    assert follows({"patient": edited}, running()) == {
        "default/db-1-to-node-b": [
            "bandwidth: 50Mi → none",
            "maxDowntime: 100ms → 400ms",
            "stallingLimit: 4s → 9s",
            "state: Migrate → Abort",
            "at once: abort (step 1, pass 4 reached)",
        ]
    }


def test_a_running_migration_of_another_policy_or_one_that_is_over_is_not_concerned():
    edited = {"other": policy("other", maxDowntime="1s")}
    assert follows(edited, running(), migration({"phase": "Succeeded"})) == {}


def test_one_that_nothing_changes_for_goes_on():
    spec = {"maxDowntime": "100ms", "bandwidth": {"perMigration": "50Mi"}, "stallingLimit": "4s"}
    assert follows({"patient": policy(**spec)}, running()) == {"default/db-1-to-node-b": ["goes on as it is"]}


def test_one_whose_policy_is_removed_keeps_what_is_in_force():
    assert follows({"patient": None}, running()) == {
        "default/db-1-to-node-b": ["keeps what is in force to its end: its policy will be gone"]
    }


def test_one_that_waits_is_selected_by_the_labels_of_its_namespace():
    edited = {"new": policy("new", selector={"namespaces": {"matchLabels": {"team": "a"}}})}
    told = follows(edited, migration(), migration(name="elsewhere", namespace="unknown"))
    assert told == {
        "default/db-1-to-node-b": ["goes by new instead of (built-in)"],
        "unknown/elsewhere": ["goes by none (NamespaceUnknown) instead of (built-in)"],
    }


def test_one_that_waits_may_go_by_another_policy():
    edited = {"new": policy("new", selector={"names": ["db-1"]})}
    before = [policy("default", globalDefault=True)]
    assert follows(edited, migration(), policies=before) == {
        "default/db-1-to-node-b": ["goes by new instead of default"]
    }
