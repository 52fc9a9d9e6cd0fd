"""`vmferry-lab` says what is wrong in a line, without a traceback."""

import pytest
from click.testing import CliRunner

from vmferry_lab.cli import main
from vmferry_lab.lab import Lab


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status"], "there is no lab in {}; bring one up by `vmferry-lab up`"),
        (["env"], "there is no lab in {}; bring one up by `vmferry-lab up`"),
        (["stop", "operator"], "there is no lab in {}"),
        (["logs", "operator"], "there is no log of operator; there are: none"),
        (["vm", "start", "db", "--host", "node-a"], "there is no lab in {}"),
        (["up", "--hosts", "27"], "the number of hosts must be from 1 to 26"),
    ],
    ids=["status", "env", "stop", "logs", "vm start", "up"],
)
def test_what_can_t_be_done_is_said_in_a_line(tmp_path, words, message):
    result = CliRunner().invoke(main, ["--dir", str(tmp_path / "x"), *words])
    assert result.exit_code == 1
    assert result.output.startswith("Error: " + message.format(tmp_path / "x"))
    assert result.output.count("\n") == 1


def test_a_size_that_is_none_is_refused(tmp_path):
    words = ["--dir", str(tmp_path), "vm", "start", "db", "--host", "node-a", "--memory", "much"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "Invalid value for '--memory'" in result.output


def test_what_the_system_refuses_is_said_in_a_line(monkeypatch):
    def refused(_lab):
        raise PermissionError(13, "Permission denied", "/somebody's")

    monkeypatch.setattr(Lab, "down", refused)
    result = CliRunner().invoke(main, ["down"])
    assert result.output == 'Error: [Errno 13] Permission denied: "/somebody\'s"\n'


def test_down_of_a_lab_that_is_not_there_is_no_error(tmp_path):
    result = CliRunner().invoke(main, ["--dir", str(tmp_path / "x"), "down"])
    assert result.exit_code == 0
