"""What a policy does to a migration that runs: edits, restarts, other tries; and which policy that is."""

from datetime import timedelta

import pytest
from asked_migration import PATIENCE, phase_is, reason
from hopeless import HOPELESS, HOPELESS_GUEST

from vmferry_api.conditions import ConditionType, is_true
from vmferry_api.migrations import AttemptOutcome, DesiredState, MigrationTechnique, Phase
from vmferry_lab.components import OPERATOR_NAME
from vmferry_lab.until import until

STALLING = {**HOPELESS, "stallingLimit": "2s"}


def stalls(migration):
    return is_true(migration.status.conditions, ConditionType.MIGRATION_STALLING)


def test_an_edit_of_the_policy_by_kubectl_apply_ends_a_stalled_migration(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(**STALLING)
    migration = migrate(guest.name, policyRef={"name": name})
    seen = migration.wait("stalling, and a forecast", lambda each: stalls(each) and each.status.forecast)
    assert seen.status.forecast.converges is False
    needed = seen.status.progress.needed_downtime
    assert timedelta(seconds=0.5) < needed / 2 < seen.status.forecast.floor < needed * 2
    manifest = {
        "apiVersion": "vmferry.io/v1alpha1",
        "kind": "MigrationPolicy",
        "metadata": {"name": name},
        "spec": {**STALLING, "maxDowntime": "3s"},
    }
    lab.kubectl.apply(manifest)
    done = migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert done.status.desired.reason == "the policy now says so: maxDowntime"
    assert done.status.policy.generation == 2
    assert done.status.steps == []
    assert_runs_only_on(guest, "node-b")


@pytest.mark.parametrize("edit", ["policyRef", "overrides"])
def test_an_edit_of_the_migration_ends_a_stalled_one(edit, start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**STALLING)})
    migration.wait("stalling", stalls)
    if edit == "policyRef":
        migration.patch_spec(policyRef={"name": policy(**{**STALLING, "maxDowntime": "3s"})})
    else:
        migration.patch_spec(overrides={"maxDowntime": "3s"})
    assert migration.ends().status.phase == Phase.SUCCEEDED
    assert_runs_only_on(guest, "node-b")


def test_post_copy_that_an_edit_removes_from_the_policy_does_not_happen(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(**STALLING, steps=[{"after": {"stalled": "6s"}, "switchToPostCopy": {}}])
    migration = migrate(guest.name, policyRef={"name": name})
    migration.wait("stalling", stalls)
    lab.kubectl.run("patch", "migpol", name, "--type=merge", "-p", '{"spec": {"steps": null}}')
    migration.passes(migration.get().status.progress.memory_pass + 10)
    seen = migration.get()
    assert (seen.status.desired.technique, seen.status.steps) == (MigrationTechnique.PRE_COPY, [])
    migration.patch_spec(cancel=True)
    assert migration.ends().status.phase == Phase.CANCELLED
    assert_runs_only_on(guest, "node-a")


def test_a_restart_with_auto_converge_converges(lab, start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    hard = {"autoConverge": {"initial": 90, "increment": 9}}
    name = policy(
        **{**STALLING, "maxDowntime": "500ms"},
        steps=[{"after": {"passes": 4}, "restart": {"start": hard}}],
    )
    done = migrate(guest.name, policyRef={"name": name}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [each.outcome for each in done.status.attempts] == [
        AttemptOutcome.RESTARTED,
        AttemptOutcome.COMPLETED,
    ]
    (step,) = done.status.steps
    assert (step.trigger, step.outcome, step.attempt) == ("pass 4 reached", "Applied", 1)
    assert done.status.desired.start.auto_converge.initial == 90
    assert_runs_only_on(guest, "node-b")


def test_an_edit_of_start_restarts_a_running_migration_where_the_policy_says_so(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(**{**STALLING, "maxDowntime": "500ms"}, restartOnEdit=True)
    migration = migrate(guest.name, policyRef={"name": name})
    migration.passes(3)
    edit = '{"spec": {"start": {"autoConverge": {"initial": 90, "increment": 9}}}}'
    lab.kubectl.run("patch", "migpol", name, "--type=merge", "-p", edit)
    done = migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [each.outcome for each in done.status.attempts] == [
        AttemptOutcome.RESTARTED,
        AttemptOutcome.COMPLETED,
    ]
    assert done.status.steps[-1].trigger == "start was edited, and restartOnEdit is set"
    assert_runs_only_on(guest, "node-b")


@pytest.mark.usefixtures("all_run_again")
def test_an_operator_that_is_killed_in_mid_ladder_goes_on_from_where_the_migration_stands(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(
        **STALLING,
        steps=[
            {"after": {"stalled": "1s"}, "setMaxDowntime": "200ms"},
            {"after": {"stalled": "1s"}, "setMaxDowntime": "3s"},
        ],
    )
    migration = migrate(guest.name, policyRef={"name": name})
    migration.wait("the first step", lambda each: each.status.steps)
    lab.components.restart(OPERATOR_NAME, kill=True)
    done = migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [(each.step, each.outcome) for each in done.status.steps] == [(1, "Applied"), (2, "Applied")]
    assert done.status.desired.revision == 3
    assert_runs_only_on(guest, "node-b")


def test_after_a_failure_the_retry_goes_over_to_then_policy(
    start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    willing = policy(**{**STALLING, "maxDowntime": "3s"})
    name = policy(
        **STALLING,
        steps=[{"after": {"elapsed": "4s"}, "abort": {}}],
        retry={"attempts": 2, "backoff": "1s", "thenPolicy": willing},
    )
    done = migrate(guest.name, policyRef={"name": name}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [each.outcome for each in done.status.attempts] == [
        AttemptOutcome.ABORTED,
        AttemptOutcome.COMPLETED,
    ]
    assert done.status.policy.name == willing
    assert done.status.policy.why.startswith(f"retry.thenPolicy of {name}: the last of 2 tries")
    assert_runs_only_on(guest, "node-b")


def test_when_every_try_has_failed_the_whole_history_is_told(
    start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(
        **STALLING,
        steps=[{"after": {"elapsed": "3s"}, "abort": {}}],
        retry={"attempts": 2, "backoff": "5s"},
    )
    migration = migrate(guest.name, policyRef={"name": name})
    migration.wait("the backoff", lambda each: reason(each, ConditionType.RECONCILING) == "RetryBackoff")
    done = migration.ends()
    assert done.status.phase == Phase.FAILED
    assert [(each.number, each.outcome) for each in done.status.attempts] == [
        (1, AttemptOutcome.ABORTED),
        (2, AttemptOutcome.ABORTED),
    ]
    assert [each.attempt for each in done.status.steps] == [1, 2]
    failed = next(each for each in done.status.conditions if each.type == ConditionType.FAILED)
    assert failed.message.startswith("given up after 2 tries")
    assert done.status.desired.state == DesiredState.ABORT
    assert_runs_only_on(guest, "node-a")


def test_a_migration_with_a_time_to_live_deletes_itself_after_its_end(start_guest, policy, migrate):
    guest = start_guest(dirty_rate=5_000_000)
    migration = migrate(guest.name, policyRef={"name": policy()}, ttlAfterFinished="10s")
    migration.wait("to succeed", phase_is(Phase.SUCCEEDED))
    until("the object to be gone", lambda: not migration.exists(), timeout=PATIENCE)


def test_of_the_policies_that_select_it_the_most_specific_is_taken_and_the_others_are_told(
    start_guest, policy, migrate
):
    guest = start_guest(dirty_rate=5_000_000)
    names = {"matchLabels": {"kubernetes.io/metadata.name": "default"}}
    by_namespace = policy(selector={"namespaces": names})
    by_label_and_namespace = policy(
        selector={"namespaces": names, "vms": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}
    )
    by_pattern = policy(selector={"names": ["no-such-*"]}, priority=9)
    done = migrate(guest.name, labels={"tier": "db"}).ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert done.status.policy.name == by_label_and_namespace
    assert f"{by_namespace} (priority 0, less specific)" in done.status.policy.why
    assert f"{by_pattern} needs a name like no-such-*" in done.status.policy.why
