"""Two operators: one decides, the other one takes over, and a migration that runs notices nothing."""

import logging
import signal
import sys
import time
import urllib.request

import pytest
from asked_migration import PATIENCE
from hopeless import HOPELESS, HOPELESS_GUEST

from recording_proxy import RecordingProxy
from vmferry_api.migrations import Phase
from vmferry_kube.leases import OPERATOR_LEASE_NAME
from vmferry_lab import processes
from vmferry_lab.components import OPERATOR_NAME, STANDBY_NAME
from vmferry_lab.controlplane.commands import APISERVER as API_SERVER
from vmferry_lab.controlplane.control_plane import LOOPBACK, OPERATOR
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.until import until
from vmferry_operator.decisions.election import LEASE_DURATION

_logger = logging.getLogger(__name__)

PROMISED = 15.0
"""Seconds within which a standby leads after a kill."""
LADDER = {
    **HOPELESS,
    "steps": [
        {"after": {"elapsed": f"{seconds}s"}, "setMaxDowntime": f"{10 + seconds}ms"}
        for seconds in range(3, 80, 5)
    ],
}
"""A step every few seconds for longer than any test looks, and none of them is enough."""


@pytest.fixture
def proxy(lab, tmp_path):
    """What one of the operators asks for."""
    started = RecordingProxy(lab.control_plane.kubeconfig(OPERATOR), tmp_path)
    started.start()
    yield started
    started.stop()


@pytest.fixture
def pair(lab, proxy):
    """Two operators: one leads, with its requests recorded, and one is warm; afterwards the usual one is alone."""
    lab.components.stop(OPERATOR_NAME)
    environment = client_environment(proxy.kubeconfig)
    command = [sys.executable, "-m", "vmferry_operator", "--health-address", LOOPBACK, "--health-port", "0"]
    log = lab.components.log(STANDBY_NAME)
    processes.start(STANDBY_NAME, command, lab=lab.directory, log=log, environment=environment)
    until("the recorded one to lead", lambda: leads(lab, STANDBY_NAME), timeout=PATIENCE)
    lab.components.start(OPERATOR_NAME)
    until("the other one to be ready", lambda: answer(lab, OPERATOR_NAME, "readyz"), timeout=PATIENCE)
    yield STANDBY_NAME, OPERATOR_NAME
    for process in lab.components.processes(STANDBY_NAME):
        process.send_signal(signal.SIGCONT)
    lab.components.stop(STANDBY_NAME)
    lab.components.start(OPERATOR_NAME)


def answer(lab, name, path):
    """What an operator answers; nothing, where it does not or is not well."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{lab.components.health(name)}/{path}", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def leads(lab, name):
    """Whether it says that it does."""
    return "\nvmferry_operator_leader 1.0" in answer(lab, name, "metrics")


@pytest.fixture
def takes_over(lab):
    """Waits until one leads; the seconds until then."""

    def wait(name):
        began = time.monotonic()
        until(f"{name} to lead", lambda: leads(lab, name), timeout=PATIENCE)
        took = time.monotonic() - began
        _logger.info("another one leads after %.2f s", took)
        return took

    return wait


@pytest.fixture
def climbing(pair, start_guest, policy, migrate):
    """A migration that is steered, and its guest."""
    guest = start_guest(**HOPELESS_GUEST)
    migration = migrate(guest.name, policyRef={"name": policy(**LADDER)})
    migration.wait("the first step", lambda each: each.status.steps)
    return migration, guest


def is_steered_on(migration):
    """Wait for a decision."""
    before = migration.get().status.desired.revision
    migration.wait("the next step", lambda each: each.status.desired.revision > before)


@pytest.fixture
def assert_noticed_nothing(assert_runs_only_on):
    """Asserts that a migration goes over in its first attempt, with no step taken twice or left out."""

    def check(migration, guest):
        migration.patch_spec(overrides={"maxDowntime": "3s"})
        done = migration.ends()
        assert done.status.phase == Phase.SUCCEEDED
        assert [attempt.number for attempt in done.status.attempts] == [1]
        steps = [each.step for each in done.status.steps]
        assert steps == list(range(1, len(steps) + 1))
        assert_runs_only_on(guest, "node-b")

    return check


def test_after_a_kill_the_standby_leads_in_time(lab, pair, climbing, assert_noticed_nothing, takes_over):
    leader, standby = pair
    lab.components.stop(leader, kill=True)
    assert takes_over(standby) < PROMISED
    is_steered_on(climbing[0])
    assert_noticed_nothing(*climbing)


def test_a_leader_that_is_told_to_end_hands_over_at_once(
    lab, pair, climbing, assert_noticed_nothing, takes_over
):
    leader, standby = pair
    for process in lab.components.processes(leader):
        process.send_signal(signal.SIGTERM)
    assert takes_over(standby) < LEASE_DURATION.total_seconds() / 2
    is_steered_on(climbing[0])
    assert_noticed_nothing(*climbing)


def test_a_leader_that_was_frozen_writes_nothing_when_it_goes_on(
    lab, pair, proxy, climbing, assert_noticed_nothing
):
    leader, standby = pair
    migration, _ = climbing
    assert any(each.path.endswith("/status") for each in proxy.writes()), "what it writes is recorded"
    (process,) = lab.components.processes(leader)
    process.send_signal(signal.SIGSTOP)
    until("the other one to lead", lambda: leads(lab, standby), timeout=PROMISED)
    is_steered_on(migration)
    goes_on = time.monotonic()
    said = len(lab.components.log(leader).read_text())
    process.send_signal(signal.SIGCONT)
    until(
        "it to step down",
        lambda: "does not lead any more" in lab.components.log(leader).read_text()[said:],
        timeout=PATIENCE,
    )
    is_steered_on(migration)
    assert {each.path.rpartition("/")[2] for each in proxy.writes(since=goes_on)} <= {OPERATOR_LEASE_NAME}
    assert (leads(lab, leader), leads(lab, standby)) == (False, True)
    assert answer(lab, leader, "readyz"), "it stands by"
    assert_noticed_nothing(*climbing)
    assert {each.path.rpartition("/")[2] for each in proxy.writes(since=goes_on)} <= {OPERATOR_LEASE_NAME}


def test_while_the_api_server_is_away_nobody_leads_and_then_one_does(
    lab, pair, climbing, assert_noticed_nothing
):
    lab.stop(API_SERVER, kill=True)
    try:
        until("nobody to lead", lambda: not any(leads(lab, each) for each in pair), timeout=PATIENCE)
    finally:
        lab.start(API_SERVER)
    until("one to lead", lambda: any(leads(lab, each) for each in pair), timeout=PATIENCE)
    is_steered_on(climbing[0])
    assert [leads(lab, each) for each in pair].count(True) == 1
    assert_noticed_nothing(*climbing)
