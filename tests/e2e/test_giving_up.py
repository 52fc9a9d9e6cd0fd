"""Migrations that end without moving the VM: it runs on at its source, untouched."""

import pytest
from asked_migration import PATIENCE, phase_is, reason
from hopeless import HOPELESS, HOPELESS_GUEST

from vmferry_api.conditions import ConditionType
from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_lab.components import OPERATOR_NAME
from vmferry_lab.until import until


def test_the_step_abort_leaves_the_vm_on_its_source(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(**HOPELESS, stallingLimit="2s", steps=[{"after": {"stalled": "1s"}, "abort": {}}])
    done = migrate(guest.name, policyRef={"name": name}).ends()
    assert done.status.phase == Phase.FAILED
    assert done.status.attempts[-1].outcome == AttemptOutcome.ABORTED
    assert "step 1" in done.status.attempts[-1].error
    assert reason(done, ConditionType.FAILED) == "Aborted"
    assert_runs_only_on(guest, "node-a")


def test_spec_cancel_aborts(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS)})
    migration.passes(1)
    migration.patch_spec(cancel=True)
    done = migration.ends()
    assert done.status.phase == Phase.CANCELLED
    assert done.status.attempts[-1].error == "cancelled by spec.cancel"
    assert_runs_only_on(guest, "node-a")


def test_deleting_the_object_aborts_before_it_is_gone(start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS)})
    migration.passes(1)
    migration.delete()
    until("the object to be gone", lambda: not migration.exists(), timeout=PATIENCE)
    assert_runs_only_on(guest, "node-a")


@pytest.mark.usefixtures("all_run_again")
def test_cancelling_works_while_the_operator_is_away(lab, start_guest, policy, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS)})
    migration.passes(1)
    lab.components.stop(OPERATOR_NAME, kill=True)
    migration.patch_spec(cancel=True)
    migration.wait("its attempt to end", lambda each: each.status.attempts[-1].end)
    assert_runs_only_on(guest, "node-a")
    lab.components.start(OPERATOR_NAME)
    assert migration.ends().status.phase == Phase.CANCELLED


@pytest.mark.usefixtures("all_run_again")
def test_progress_timeout_ends_a_hopeless_migration_while_the_operator_is_away(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS, progressTimeout="5s")})
    migration.passes(1)
    lab.components.stop(OPERATOR_NAME, kill=True)
    seen = migration.wait("its attempt to end", lambda each: each.status.attempts[-1].end)
    assert seen.status.attempts[-1].outcome == AttemptOutcome.ABORTED
    assert seen.status.attempts[-1].error.startswith("progressTimeout")
    assert seen.status.phase == Phase.RUNNING  # the operator's field, and it is away
    assert_runs_only_on(guest, "node-a")
    lab.components.start(OPERATOR_NAME)
    assert migration.ends().status.phase == Phase.FAILED


def test_a_migration_cancelled_before_its_start_never_starts(start_guest, migrate, assert_runs_only_on):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": "no-such-policy"})
    migration.wait("to be refused", lambda each: reason(each, ConditionType.ACCEPTED) == "PolicyNotFound")
    migration.patch_spec(cancel=True)
    done = migration.wait("to be cancelled", phase_is(Phase.CANCELLED))
    assert done.status.attempts == []
    assert_runs_only_on(guest, "node-a")
