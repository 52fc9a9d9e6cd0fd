"""The control plane is away in mid-migration: what runs goes on, and what happened is told afterwards."""

import signal
import time
from contextlib import contextmanager

from asked_migration import PATIENCE, phase_is
from hopeless import HOPELESS, HOPELESS_GUEST

from vmferry_api.migrations import AttemptOutcome, Phase
from vmferry_lab import processes
from vmferry_lab.components import OPERATOR_NAME
from vmferry_lab.until import until

API_SERVER = "kube-apiserver"
ETCD = "etcd"
AWAY = 6.0
"""Seconds; longer than the first delays between tries."""
REQUEST = 20.0
"""Seconds; longer than a request may last."""


@contextmanager
def killed_api_server(lab):
    """It is away until the end of the block."""
    lab.stop(API_SERVER, kill=True)
    try:
        yield
    finally:
        lab.start(API_SERVER)


@contextmanager
def hanging_store(lab):
    """The API server takes requests, and answers none until the end of the block."""
    (etcd,) = processes.of_component(lab.directory, ETCD)
    etcd.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        etcd.send_signal(signal.SIGCONT)


def assert_gets_on_and_can_be_cancelled(migration, seen):
    """Nobody has fallen silent."""
    migration.passes(seen.status.progress.memory_pass + 5)
    migration.patch_spec(cancel=True)
    done = migration.wait("to be cancelled", phase_is(Phase.CANCELLED))
    assert [attempt.number for attempt in done.status.attempts] == [1]
    assert done.status.attempts[-1].error == "cancelled by spec.cancel"


def test_a_migration_is_steered_to_its_end_after_an_outage(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    name = policy(**HOPELESS, steps=[{"after": {"passes": 20}, "setMaxDowntime": "3s"}])
    migration = migrate(guest.name, policyRef={"name": name})
    migration.passes(2)
    with killed_api_server(lab):
        time.sleep(AWAY)
    done = migration.ends()
    assert done.status.phase == Phase.SUCCEEDED
    assert [attempt.number for attempt in done.status.attempts] == [1]
    assert [step.outcome for step in done.status.steps] == ["Applied"]
    assert_runs_only_on(guest, "node-b")


def test_an_end_during_an_outage_is_told_afterwards(lab, start_guest, policy, migrate, assert_runs_only_on):
    guest, source = start_guest(**HOPELESS_GUEST), lab.host("node-a")
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS, progressTimeout="5s")})
    migration.passes(2)
    with killed_api_server(lab):
        until("it to be given up", lambda: not guest.is_migrating(source), timeout=PATIENCE)
    done = migration.ends()
    assert (done.status.phase, done.status.attempts[-1].outcome) == (Phase.FAILED, AttemptOutcome.ABORTED)
    assert done.status.attempts[-1].error.startswith("progressTimeout")
    assert_runs_only_on(guest, "node-a")


def test_an_operator_that_starts_during_an_outage_waits_for_its_end(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS)})
    seen = migration.passes(2)
    lab.components.stop(OPERATOR_NAME, kill=True)
    with killed_api_server(lab):
        lab.components.start(OPERATOR_NAME)
        time.sleep(AWAY)
    assert_gets_on_and_can_be_cancelled(migration, seen)
    assert_runs_only_on(guest, "node-a")


def test_a_store_that_hangs_for_longer_than_a_request_may_last_only_delays(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS)})
    seen = migration.passes(2)
    with hanging_store(lab):
        time.sleep(REQUEST)
    assert_gets_on_and_can_be_cancelled(migration, seen)
    assert_runs_only_on(guest, "node-a")


def test_an_api_server_that_dies_before_it_has_answered_silences_nobody(
    lab, start_guest, policy, migrate, assert_runs_only_on
):
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**HOPELESS)})
    seen = migration.passes(2)
    with hanging_store(lab):
        time.sleep(AWAY)  # by then there is a request in its hands
        lab.stop(API_SERVER, kill=True)
    lab.start(API_SERVER)
    assert_gets_on_and_can_be_cancelled(migration, seen)
    assert_runs_only_on(guest, "node-a")
