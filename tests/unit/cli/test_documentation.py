"""docs/simulation.md and docs/kubectl-vmferry.md show what commands really print, and tell all options.

What needs a cluster is shown as it was on one; tests/e2e/test_plugin.py holds what it says.
"""

import re
import shlex

import click
import pytest
from click.testing import CliRunner
from simulated_guests import ROOT

from kubectl_vmferry.main import main
from kubectl_vmferry.simulation.results import OutcomeName

TEXT = (ROOT / "docs" / "simulation.md").read_text()
PLUGIN = (ROOT / "docs" / "kubectl-vmferry.md").read_text()
_BLOCK = re.compile(r"^```console\n\$ kubectl vmferry ([^\n]*)\n(.*?)```", flags=re.MULTILINE | re.DOTALL)
OFFLINE = [shown for shown in _BLOCK.findall(PLUGIN) if shown[0].startswith("policy lint")]
SHOWN = _BLOCK.findall(TEXT)


@pytest.mark.parametrize(("words", "output"), SHOWN + OFFLINE)
def test_a_command_prints_what_is_shown(words, output, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, shlex.split(words), env={"COLUMNS": None})
    assert [line.rstrip() for line in result.stdout.splitlines()] == output.splitlines()


def test_there_are_commands_to_compare():
    assert (len(SHOWN), len(OFFLINE)) == (3, 1)


def commands(group, path=()):
    """All commands with their words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


@pytest.mark.parametrize(("words", "command"), dict(commands(main)).items())
def test_every_command_and_option_of_the_plugin_is_told(words, command):
    assert re.search(rf"^## {words}$", PLUGIN, flags=re.MULTILINE) or words == "simulate"
    text = TEXT if words == "simulate" else PLUGIN
    options = [each for each in command.params if isinstance(each, click.Option)]
    missing = [
        each.name for each in options if not any(re.search(rf"(?<!-){opt}\b", text) for opt in each.opts)
    ]
    assert missing == []


def test_every_outcome_is_told():
    assert [each for each in OutcomeName if f"`{each}`" not in TEXT] == []
