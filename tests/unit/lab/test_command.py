"""`vmferry-lab` says what is wrong in a line, without a traceback."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from vmferry_lab import cli
from vmferry_lab import lab as lab_module
from vmferry_lab.cli import main
from vmferry_lab.lab import Lab


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status"], "there is no lab in {}; bring one up by `"),
        (["env"], "there is no lab in {}; bring one up by `"),
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


@pytest.mark.parametrize(
    "words", [["--dir", "{}", "vm", "list"], ["vm", "--dir", "{}", "list"], ["vm", "list", "--dir", "{}"]]
)
def test_the_directory_may_stand_before_or_behind_any_part_of_a_command(tmp_path, words):
    result = CliRunner().invoke(main, [word.format(tmp_path / "x") for word in words])
    assert result.output.startswith(f"Error: there is no lab in {tmp_path / 'x'}; ")


def test_every_command_takes_a_directory():
    commands = [main]
    while commands:
        command = commands.pop()
        assert any("--dir" in param.opts for param in command.params), command.name
        commands += getattr(command, "commands", {}).values()


@pytest.mark.parametrize("words", [["--dir", "{}", "demo"], ["demo", "--dir", "{}"]])
def test_the_demo_takes_place_where_it_is_told_to(tmp_path, monkeypatch, words):
    labs = []
    monkeypatch.setattr(cli, "run_demo", lambda lab, *, keep: labs.append(lab.directory))
    assert CliRunner().invoke(main, [word.format(tmp_path) for word in words]).exit_code == 0
    assert labs == [tmp_path]


def test_what_is_printed_to_go_on_with_names_program_and_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(Lab, "up", lambda _lab, **_: None)
    program = Path(sys.executable).parent / "vmferry-lab"
    assert program.exists()
    spaced = tmp_path / "my lab"
    monkeypatch.setenv("PATH", "/nowhere")
    said = CliRunner().invoke(main, ["up", "--dir", str(spaced)]).output
    assert said == f"""go on with:  eval "$({program} --dir '{spaced}' env)"; kubectl get nodes,migpol\n"""
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("VMFERRY_LAB_DIR", str(tmp_path))
    said = CliRunner().invoke(main, ["up"]).output
    assert said == 'go on with:  eval "$(vmferry-lab env)"; kubectl get nodes,migpol\n'


@pytest.fixture
def two_hosts(tmp_path, monkeypatch):
    """A lab of which the record says that it is up with two hosts; nothing runs, so nothing answers."""
    (tmp_path / "lab.json").write_text(
        '{"hosts": ["node-a", "node-b"], "kind": "session", "link": null, "subnet": null}'
    )
    (tmp_path / ".vmferry-lab").touch()
    (tmp_path / "guests").mkdir()
    (tmp_path / "guests" / "db.img").touch()
    monkeypatch.setattr(Lab, "is_up", True)
    monkeypatch.setattr(lab_module, "find_or_build", lambda _say: None)
    return tmp_path


@pytest.mark.parametrize(
    "words", [["--hosts", "3"], ["--hosts", "1"], ["--link", "55M"], ["--hosts-kind", "node"]]
)
def test_other_hosts_than_a_lab_has_are_refused(two_hosts, words):
    result = CliRunner().invoke(main, ["up", "--dir", str(two_hosts), *words])
    assert result.exit_code == 1
    assert result.output.startswith(
        f"Error: {two_hosts}: a lab is up there already, with node-a, node-b (session hosts); run `"
    )


@pytest.mark.parametrize("words", [[], ["--hosts", "2"]])
def test_the_same_hosts_are_not(two_hosts, monkeypatch, words):
    monkeypatch.setattr(Lab, "_start_missing", lambda _lab, _say, *, components: None)
    assert CliRunner().invoke(main, ["up", "--dir", str(two_hosts), *words]).exit_code == 0


def test_hosts_that_do_not_answer_are_told_of_and_the_rest_is_shown(two_hosts, capfd):
    result = CliRunner().invoke(main, ["vm", "list", "--dir", str(two_hosts)])
    assert (result.exit_code, result.output) == (0, "db  node-a does not answer, node-b does not answer\n")
    assert capfd.readouterr().err == ""


def test_a_guest_is_not_forgotten_while_a_host_does_not_answer(two_hosts):
    result = CliRunner().invoke(main, ["vm", "remove", "db", "--dir", str(two_hosts)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: libvirtd of node-a does not answer")
    assert (two_hosts / "guests" / "db.img").exists()


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


@pytest.mark.parametrize("words", [["cut"], ["heal"], ["shape", "55M"], ["drop", "stream"], ["power-off"]])
def test_faults_of_hosts_that_have_no_links_are_refused_with_the_way_out(two_hosts, words):
    result = CliRunner().invoke(main, ["host", "node-a", *words, "--dir", str(two_hosts)])
    assert result.exit_code == 1
    assert result.output.startswith(
        "Error: node-a has no link and no power of its own; as root bring a lab up"
    )
    assert result.output.count("\n") == 1
