"""Rules, alerts and dashboard: read by the real promtool, held to the metrics there are and to the runbooks."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from described_metrics import agent_text, described, operator_text

from monitoring_expressions import DASHBOARD, MONITORING, RULES, panels, rules, selectors, shown
from vmferry_lab.kubectl import kubectl_path
from vmferry_lab.monitoring.binaries import find_or_unpack
from vmferry_lab.monitoring.rules import plain_rules

CASES = Path(__file__).parent / "alerts.yaml"
RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks"
PAGE = RUNBOOKS.parent / "metrics.md"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "What to do"]
ADDED = {"job", "instance", "node"}
"""The labels that a scrape adds."""
TIMEOUT = 300

METRICS = described(operator_text()) | described(agent_text())
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in rules() if "record" in rule}
EXPRESSIONS = [*(rule["expr"] for rule in rules()), *(expression for _, expression in shown())]


@pytest.fixture(scope="session")
def promtool():
    """The real one."""
    program = find_or_unpack(print).promtool

    def run(*words):
        done = subprocess.run([program, *words], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def plain(tmp_path):
    """The rules as Prometheus reads them."""
    path = tmp_path / "rules.yaml"
    path.write_text(plain_rules(RULES))
    return path


def test_promtool_takes_the_rules(promtool, plain):
    assert f"{len(rules())} rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", plain)


def test_promtool_s_unit_tests_of_all_rules_pass(promtool, plain):
    shutil.copy(CASES, plain.parent)
    assert "SUCCESS" in promtool("test", "rules", plain.parent / CASES.name)


@pytest.mark.parametrize("fires", [True, False])
def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(fires):
    cases = [
        each
        for case in yaml.safe_load(CASES.read_text())["tests"]
        for each in case.get("alert_rule_test", [])
    ]
    assert {case["alertname"] for case in cases if bool(case["exp_alerts"]) == fires} == set(ALERTS)


def test_promtool_takes_each_expression_of_the_dashboard(promtool, tmp_path):
    as_rules = [
        {"record": f"r{number}", "expr": expression} for number, (_, expression) in enumerate(shown())
    ]
    path = tmp_path / "dashboard.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": as_rules}]}))
    assert f"{len(as_rules)} rules found" in promtool("check", "rules", path)


def known():
    """The labels of each series that there can be."""
    found = {}
    for name, (type_, labels) in METRICS.items():
        suffixes = ("_bucket", "_count", "_sum") if type_ == "histogram" else ("",)
        found |= {name + suffix: labels | ADDED for suffix in suffixes}
        if type_ == "histogram":
            found[f"{name}_bucket"] = found[f"{name}_bucket"] | {"le"}
    for name in RECORDED:
        found[name] = {"policy"} if name.startswith("policy:") else set()
    found |= dict.fromkeys(["up", "process_cpu_seconds_total", "process_resident_memory_bytes"], ADDED)
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_each_expression_reads_metrics_that_there_are_by_labels_that_they_have(expression):
    labels = known()
    read = list(selectors(expression))
    assert read
    for name, matchers in read:
        assert name in labels
        assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= labels[name]
    grouped = {each for by in re.findall(r"\b(?:by|on) \(([\w, ]*)\)", expression) for each in by.split(", ")}
    assert grouped - {""} <= set().union(*(labels[name] for name, _ in read))


def test_no_label_of_a_metric_is_a_vm_s_or_a_migration_s_name():
    labels = set().union(*(labels for _, labels in METRICS.values()))
    assert not labels & {"vm", "name", "namespace", "migration", "uid", "object"}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_leads_to_a_runbook_that_says_what_to_do(alert):
    annotations = ALERTS[alert]["annotations"]
    assert annotations["runbook_url"] == f"docs/runbooks/{alert}.md"
    page = (RUNBOOKS / f"{alert}.md").read_text()
    assert page.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    diagnosis = page.partition("## Diagnosis")[2].partition("## What to do")[0]
    assert re.search(r"^    \w", diagnosis, re.MULTILINE), "no command"
    assert ALERTS[alert]["labels"]["severity"] in {"critical", "warning"}


def test_there_is_no_runbook_without_its_alert():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(ALERTS)


def test_each_panel_says_what_it_shows_by_the_data_source_that_is_chosen():
    for panel in panels():
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"


def test_events_that_are_dropped_are_seen_on_the_dashboard():
    assert any("vmferry_operator_events_dropped_total" in expression for _, expression in shown())


def test_the_panels_do_not_overlap():
    taken = set()
    dashboard = json.loads(DASHBOARD.read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_pods_are_scraped_under_the_jobs_and_labels_that_the_rules_know():
    monitors = list(yaml.safe_load_all((MONITORING / "pod-monitors.yaml").read_text()))
    jobs = set()
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        set_to = {each["targetLabel"]: each.get("replacement") for each in endpoint["relabelings"]}
        jobs.add(set_to["job"])
        assert ("node" in set_to) == (set_to["job"] == "vmferry-agent")
    asked = {job for each in EXPRESSIONS for job in re.findall(r'job="([^"]+)"', each)}
    assert asked == jobs


def test_the_page_lists_each_alert_with_its_severity():
    page = PAGE.read_text()
    told = re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| (\w+) \|", page, re.MULTILINE)
    assert dict(told) == {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}


def test_the_page_s_kustomization_gives_a_prometheus_the_label_that_it_looks_for(tmp_path):
    (written,) = re.findall(r"```yaml\n(# kustomization\.yaml\n.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "vmferry").symlink_to(RUNBOOKS.parents[1])
    (tmp_path / "kustomization.yaml").write_text(written.replace("path/to/vmferry", "vmferry"))
    done = subprocess.run(
        [kubectl_path(), "kustomize", tmp_path], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    labelled = [
        each["kind"] for each in yaml.safe_load_all(done.stdout) if "release" in each["metadata"]["labels"]
    ]
    assert sorted(labelled) == ["PodMonitor", "PodMonitor", "PrometheusRule"]


def test_kustomize_builds_all_of_it_with_the_files_as_they_are():
    done = subprocess.run(
        [kubectl_path(), "kustomize", MONITORING], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    built = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}
    assert set(built) == {
        ("ClusterRole", "vmferry-kube-state-metrics"),
        ("ConfigMap", "vmferry-dashboard"),
        ("ConfigMap", "vmferry-kube-state-metrics"),
        ("PodMonitor", "vmferry-agent"),
        ("PodMonitor", "vmferry-operator"),
        ("PrometheusRule", "vmferry"),
    }
    dashboard = built["ConfigMap", "vmferry-dashboard"]
    assert dashboard["data"]["dashboard.json"] == DASHBOARD.read_text()
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
