"""docs/simulation.md shows what the commands really print."""

import re
import shlex

import pytest
from click.testing import CliRunner
from simulated_guests import ROOT

from kubectl_vmferry.main import main
from kubectl_vmferry.simulation.results import OutcomeName

TEXT = (ROOT / "docs" / "simulation.md").read_text()
SHOWN = re.findall(
    r"^```console\n\$ kubectl vmferry ([^\n]*)\n(.*?)```", TEXT, flags=re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize(("words", "output"), SHOWN)
def test_a_command_prints_what_is_shown(words, output, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, shlex.split(words), env={"COLUMNS": None})
    assert [line.rstrip() for line in result.stdout.splitlines()] == output.splitlines()


def test_there_are_commands_to_compare():
    assert len(SHOWN) == 3


def test_every_outcome_is_told():
    assert [each for each in OutcomeName if f"`{each}`" not in TEXT] == []
