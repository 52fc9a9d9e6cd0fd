"""The plugin as a whole: help, errors, completion, pictures."""

import re
import runpy
import xml.etree.ElementTree as ET
from importlib.metadata import version
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner
from simulated_guests import ROOT

from kubectl_vmferry import completion
from kubectl_vmferry.completion import FILES, NO_FILES, for_kubectl
from kubectl_vmferry.main import main

PICTURES = ROOT / "docs" / "pictures"
COMMANDS = list(main.list_commands(click.Context(main)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_its_own_name(name):
    done = CliRunner().invoke(main, [name, "--help"], prog_name="kubectl vmferry")
    assert done.exit_code == 0
    assert f"Usage: kubectl vmferry {name} " in done.output


def test_it_tells_its_version():
    done = CliRunner().invoke(main, ["--version"])
    assert (done.exit_code, done.output) == (0, f"kubectl vmferry, version {version('vmferry')}\n")


@pytest.mark.parametrize("words", [[], ["policy"]])
def test_the_list_of_commands_breaks_no_sentence_off(words):
    assert "..." not in CliRunner().invoke(main, [*words, "--help"]).output.partition("Commands:")[2]


def test_a_name_is_completed_once(monkeypatch):
    moved = [{"metadata": {"name": name}, "spec": {"vm": "db-1"}} for name in ("a", "b")]
    cluster = SimpleNamespace(migrations=lambda: moved)
    monkeypatch.setattr(completion, "_cluster", lambda _: cluster)
    assert for_kubectl(main, ["migrate", "d"]) == ["db-1", NO_FILES]


def test_a_command_that_there_is_not_is_wrong_usage():
    done = CliRunner().invoke(main, ["wach"])
    assert (done.exit_code, "No such command 'wach'" in done.output) == (2, True)


def test_a_defect_is_told_in_a_sentence_and_shown_only_when_asked(monkeypatch):
    @click.command()
    def broken():
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(type(main), "get_command", lambda *_: broken)
    monkeypatch.delenv("VMFERRY_DEBUG", raising=False)
    done = CliRunner().invoke(main, ["broken"])
    assert done.exit_code == 1
    assert "Error: unexpected RuntimeError: two lines; with VMFERRY_DEBUG=1 it shows where" in done.output
    monkeypatch.setenv("VMFERRY_DEBUG", "1")
    assert isinstance(CliRunner().invoke(main, ["broken"]).exception, RuntimeError)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, click.Abort])
def test_ctrl_c_ends_every_command_alike_and_says_that_migrations_go_on(monkeypatch, raised):
    @click.command()
    def hangs():
        raise raised

    monkeypatch.setattr(type(main), "get_command", lambda *_: hangs)
    done = CliRunner().invoke(main, ["hangs"])
    assert done.exit_code == 130
    assert "Aborted" not in done.output
    assert done.output.splitlines()[-1].startswith("interrupted; migrations that run go on")


@pytest.mark.parametrize(
    ("words", "has", "ends"),
    [
        ([""], "watch", NO_FILES),
        (["po"], "policy", NO_FILES),
        (["policy", ""], "lint", NO_FILES),
        (["watch", "--all"], "--all-namespaces", NO_FILES),
        (["completion", ""], "fish", NO_FILES),
        (["migrate", "vm", "--copy-storage", ""], "incremental", NO_FILES),
        (["simulate", "--plot", ""], None, FILES),
        ([], "doctor", NO_FILES),
    ],
)
def test_kubectl_gets_the_words_and_whether_files_may_follow(words, has, ends):
    *values, last = for_kubectl(main, words)
    assert last == ends
    assert has is None or has in [each.partition("\t")[0] for each in values]


def test_where_no_cluster_can_be_asked_nothing_is_completed_and_nothing_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert for_kubectl(main, ["watch", "db"]) == [NO_FILES]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_asks_the_program(shell):
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_VMFERRY_COMPLETE={shell}_complete" in done.output


@pytest.mark.parametrize("name", ["watch", "describe"])
def test_a_picture_is_what_its_recording_renders_to(name):
    render = runpy.run_path(str(PICTURES / "render.py"))["render"]
    assert (PICTURES / f"{name}.svg").read_text() == render(name), "make pictures"


@pytest.mark.parametrize("name", ["watch", "describe"])
def test_a_picture_fetches_nothing_and_tells_nothing_of_the_machine_it_was_made_on(name):
    picture = (PICTURES / f"{name}.svg").read_text()
    ET.fromstring(picture)
    assert re.findall(r"https?://[^\"' )]+", picture) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"/(home|root|work|tmp)/", picture)
    recorded = (PICTURES / f"{name}.json").read_text()
    assert not re.search(r"/(home|root|work|tmp)/", recorded)
