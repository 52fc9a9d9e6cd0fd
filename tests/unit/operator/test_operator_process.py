"""The operator as a process: how it begins, and that it ends."""

import os
import signal
import subprocess
import sys

import pytest

from served_health import ask
from vmferry_lab.until import until

PATIENCE = 30.0
COMMAND = [sys.executable, "-m", "vmferry_operator", "--health-address", "127.0.0.1", "--health-port"]


@pytest.fixture
def operator(tmp_path, hanging_api_server):
    """An operator whose API server says nothing, as a process; and its log."""
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*COMMAND, "0"], stderr=output, env={**os.environ, "KUBECONFIG": str(hanging_api_server)}
        )
    try:
        until("the operator to serve", lambda: "health and metrics at" in log.read_text(), timeout=PATIENCE)
        yield process, log
    finally:
        process.kill()
        process.wait()


def test_while_nothing_answers_it_is_well_and_says_what_it_waits_for(operator):
    _, log = operator
    assert ask(log, "/healthz") == (200, "ok\n")
    assert ask(log, "/readyz") == (503, "the API server has not listed all migrations and policies yet\n")
    status, metrics = ask(log, "/metrics")
    assert status == 200
    assert "vmferry_operator_leader 0.0" in metrics
    assert "vmferry_operator_listed_timestamp_seconds 1" not in metrics


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_when_it_is_told_though_the_api_server_hangs(operator, number):
    process, log = operator
    process.send_signal(number)
    assert process.wait(PATIENCE) == 0
    assert "stopping" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_where_it_can_not_serve_it_says_so_in_one_line(operator, hanging_api_server):
    _, log = operator
    port = log.read_text().partition("http://127.0.0.1:")[2].split()[0]
    second = subprocess.run(
        [*COMMAND, port],
        env={**os.environ, "KUBECONFIG": str(hanging_api_server)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert second.returncode == 1
    assert "can't run: " in second.stderr
    assert "Traceback" not in second.stderr
