"""A real Prometheus over a real run sees what the objects say, and all of manifests/monitoring works with it."""

import re
import subprocess
from pathlib import Path

import pytest
from asked_migration import PATIENCE
from hopeless import HOPELESS, HOPELESS_GUEST

from doc_pages import ROOT
from doc_pages.blocks import blocks
from monitoring_expressions import rules, selectors, shown
from resource_state_metrics import resources, series
from vmferry_api import GROUP, VERSION
from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import Phase
from vmferry_lab.components import OPERATOR_NAME, agent_name
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.kubectl import kubectl_path
from vmferry_lab.monitoring.prometheus import Prometheus
from vmferry_lab.until import until

STALLING = {**HOPELESS, "stallingLimit": "2s"}
LADDER = {**STALLING, "steps": [{"after": {"stalled": "1s"}, "setMaxDowntime": "3s"}]}
STUCK = {**STALLING, "bandwidth": {"perMigration": "40Mi", "perNode": "40Mi"}, "progressTimeout": "0s"}

MAY_BE_EMPTY = {
    "vmferry_agent_libvirt_call_errors_total": "no call of libvirt may have failed",
    "vmferry_agent_status_write_failures_total": "no write may have failed",
    "vmferry_operator_api_write_failures_total": "no write may have failed",
    "vmferry_operator_reconcile_failures_total": "no look may have failed",
    "vmferry_operator_migrations_pending": "nothing may wait for anything but its turn",
}
"""The series that a healthy run need not have, and why; promtool's cases (tests/unit/monitoring) have them."""
NOT_IN_THIS_RUN = {
    "vmferry_migration_queue_position": "nothing waits for its turn",
    "vmferry_migration_waiting_since_timestamp_seconds": "only while something is in the way",
    "vmferry_migration_recovery_tries": "no post-copy was interrupted",
    "vmferry_migration_forecast_completion_timestamp_seconds": "only while one is expected to converge",
    "vmferry_migration_progress_dirty_bytes_per_second": "not every QEMU tells it",
    "vmferry_policy_global_default": "no preset is the default",
}
"""Of what kube-state-metrics reads; each is a field of the schema (tests/unit/monitoring)."""


@pytest.fixture
def prometheus(lab):
    """Scrapes the lab; stopped after the test."""
    started = Prometheus(lab)
    started.start(print)
    yield started
    started.stop()


def value(prometheus, expression):
    """The one that an expression comes to; None: there is none."""
    found = prometheus.query(expression)
    return float(found[0]["value"][1]) if found else None


def comes_to(prometheus, expression, expected):
    """Wait until it does."""
    try:
        until(expression, lambda: value(prometheus, expression) == expected, timeout=PATIENCE, interval=0.5)
    except TimeoutError:
        pytest.fail(f"{expression} is {value(prometheus, expression)}, not {expected}")


def empty(prometheus, expressions):
    """Those that come to no series, also after some scrapes."""
    left = set(expressions)

    def look():
        left.difference_update({each for each in left if prometheus.query(each)})
        return not left

    try:
        until("all to have series", look, timeout=15, interval=1)
    except TimeoutError:
        return left
    return left


def test_prometheus_sees_a_real_run_as_the_objects_tell_it_and_every_expression_works(
    api, prometheus, start_guest, policy, migrate
):
    ladder, hopeless = policy(**LADDER), policy(**STUCK)
    done = migrate(start_guest(**HOPELESS_GUEST).name, policyRef={"name": ladder}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    missing = migrate("no-such-vm", policyRef={"name": ladder}).ends()
    stuck = migrate(start_guest(**HOPELESS_GUEST).name, policyRef={"name": hopeless})
    stuck.wait("stalling", lambda each: is_true(each.status.conditions, ConditionType.MIGRATION_STALLING))
    stuck.wait("a forecast", lambda each: each.status.forecast)

    (attempt,) = done.status.attempts
    by = f'policy="{ladder}"'
    assert missing.status.phase == Phase.FAILED
    for expression, expected in {
        f'vmferry_operator_migrations_ended_total{{{by},phase="Succeeded"}}': 1,
        f'vmferry_operator_migrations_ended_total{{{by},phase="Failed"}}': 1,
        f'vmferry_operator_migration_duration_seconds_count{{{by},phase="Failed"}}': 0,
        f"vmferry_operator_stalls_total{{{by}}} >= bool 1": 1,
        f"vmferry_operator_transferred_bytes_total{{{by}}}": attempt.transferred,
        f"vmferry_operator_downtime_seconds_sum{{{by}}}": attempt.downtime.total_seconds(),
        f'vmferry_operator_attempts_ended_total{{{by},outcome="Completed"}}': 1,
        f'vmferry_operator_migrations{{policy="{hopeless}",phase="Running"}}': 1,
        f'vmferry_operator_migrations_nothing_left{{policy="{hopeless}"}}': 1,
        f'vmferry_operator_migrations_stalling{{policy="{hopeless}"}}': 1,
        'vmferry_operator_node_shared_bytes_per_second{node="node-a",direction="out"}': 40 * 2**20,
        'vmferry_agent_migrations{node="node-b",role="target",phase="Running"}': 1,
        'vmferry_operator_migrations_expected{forecast="does_not_converge"}': 1,
        'count(ALERTS{alertname="VMFerryMigrationNothingLeft",alertstate=~"pending|firing"})': 1,
        'sum(vmferry_operator_steps_total{action="setMaxDowntime",outcome="Applied"}) >= bool 1': 1,
        "sum(vmferry_operator_revision_apply_seconds_count) >= bool 2": 1,
    }.items():
        comes_to(prometheus, expression, expected)

    every_expression_works(prometheus)
    kube_state_metrics_would_see_it(api)
    stuck.patch_spec(cancel=True)
    assert stuck.ends().status.phase == Phase.CANCELLED
    comes_to(prometheus, f'vmferry_operator_migrations_nothing_left{{policy="{hopeless}"}}', 0)


@pytest.mark.usefixtures("all_run_again")
def test_what_goes_wrong_is_seen_an_agent_that_is_gone_and_then_the_operator(
    lab, prometheus, start_guest, policy, migrate
):
    migration = migrate(start_guest(**HOPELESS_GUEST).name, policyRef={"name": policy(**STUCK)})
    migration.passes(2)
    lab.components.stop(agent_name("node-a"), kill=True)
    comes_to(prometheus, 'up{job="vmferry-agent",node="node-a"}', 0)
    comes_to(prometheus, 'sum(vmferry_operator_migrations_agent_silent{phase="Running"})', 1)
    comes_to(prometheus, 'count(ALERTS{alertname="VMFerryAgentSilent",alertstate="pending"})', 1)
    comes_to(prometheus, 'count(ALERTS{alertname="VMFerryAgentDown",alertstate="pending"})', 1)
    lab.components.stop(OPERATOR_NAME)
    comes_to(prometheus, 'count(ALERTS{alertname="VMFerryOperatorDown",alertstate="pending"})', 1)
    lab.components.start_all()
    prometheus.start(print)  # where they serve now
    migration.patch_spec(cancel=True)
    assert migration.ends().status.phase == Phase.CANCELLED


def every_expression_works(prometheus):
    """Also those of alerts, which come to nothing while all is well: then what they read is there."""
    recorded = [rule["expr"] for rule in rules() if "record" in rule]
    whole = [*recorded, *(expression for _, expression in shown())]
    read = {f"{name}{{{matchers}}}" for rule in rules() for name, matchers in selectors(rule["expr"])}
    for expression in empty(prometheus, [*whole, *read]):
        names = {name for name, _ in selectors(expression)}
        assert names & set(MAY_BE_EMPTY), f"{expression} comes to no series"
    unhealthy = [rule for rule in prometheus.rules() if rule["health"] != "ok"]
    assert len(prometheus.rules()) == len(rules())
    assert unhealthy == []
    critical = 'ALERTS{severity="critical",alertstate="firing"}'
    assert prometheus.query(critical) == []


def kube_state_metrics_would_see_it(api):
    """All that its configuration reads is in the objects of this run."""
    for resource in resources():
        kind = resource["groupVersionKind"]["kind"]
        plural = {"VMMigration": "vmmigrations", "MigrationPolicy": "migrationpolicies"}[kind]
        objects = api.list_cluster_custom_object(GROUP, VERSION, plural)["items"]
        found = {name for name, _, _ in series(resource, objects)}
        wanted = {f"{resource['metricNamePrefix']}_{each['name']}" for each in resource["metrics"]}
        assert wanted - found <= set(NOT_IN_THIS_RUN)


RUNBOOKS = Path("docs") / "runbooks"
PAGES = (
    "VMFerryAgentCutOff.md",
    "VMFerryAgentDown.md",
    "VMFerryAgentSilent.md",
    "VMFerryDeadlineWillBeMissed.md",
    "VMFerryLeaderUnsteady.md",
    "VMFerryLibvirtFails.md",
    "VMFerryMigrationNothingLeft.md",
    "VMFerryMigrationsBlocked.md",
    "VMFerryOperatorBlind.md",
    "VMFerryOperatorDown.md",
    "VMFerryPolicyFailing.md",
    "VMFerryPolicyRefused.md",
    "VMFerryPostCopyInterrupted.md",
    "VMFerryQueueStuck.md",
    "VMFerryReconcilesFail.md",
    "VMFerryRevisionsLate.md",
    "VMFerryStepsRefused.md",
    "VMFerryTwoOperatorsLead.md",
    "VMFerryVMNeedsPerson.md",
)
PLACEHOLDERS = {
    "vmmig NAME -n NAMESPACE": "vmmig of-runbooks -n default",
    "vmferry-agent-NODE": "vmferry-agent-node-a",
    "node NODE": "node node-a",
    "spec.nodeName=NODE": "spec.nodeName=node-a",
    "migpol POLICY": "migpol balanced",
}
_PATCH = re.compile(r"`(kubectl patch [^`]+)`")


def shown_commands():
    """What runbooks would have one type: the blocks that are marked so, line by line, and each patch."""
    for page in PAGES:
        text = (ROOT / RUNBOOKS / page).read_text()
        for block in blocks(str(RUNBOOKS / page), text):
            if block.test == "tests/e2e/test_monitoring.py":
                yield from block.text.splitlines()
        yield from _PATCH.findall(text)


@pytest.fixture(scope="module")
def asked_for(lab, api):
    """A migration of a VM that there is not, for commands that name one."""
    body = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "VMMigration",
        "metadata": {"name": "of-runbooks", "namespace": "default"},
        "spec": {"vm": "no-such-vm", "sourceNode": "node-a", "targetNode": "node-b"},
    }
    leases = ("get", "leases", "-n", "vmferry-system", "-o", "name")
    wanted = {
        f"lease.coordination.k8s.io/vmferry-{each}" for each in ("agent-node-a", "agent-node-b", "operator")
    }
    until("all Leases", lambda: wanted <= set(lab.kubectl.run(*leases).split()), timeout=PATIENCE)
    yield api.create_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", body)
    api.delete_namespaced_custom_object(GROUP, VERSION, "default", "vmmigrations", "of-runbooks")


@pytest.mark.usefixtures("asked_for")
@pytest.mark.parametrize("command", sorted(set(shown_commands())))
def test_a_command_of_a_runbook_works(lab, command):
    environment = client_environment(lab.kubectl.kubeconfig)
    path = f"{kubectl_path().parent}:{environment['PATH']}"
    for placeholder, name in PLACEHOLDERS.items():
        command = command.replace(placeholder, name)
    done = subprocess.run(
        command,
        shell=True,
        env={**environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
