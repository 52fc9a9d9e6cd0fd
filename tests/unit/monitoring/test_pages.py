"""The pages tell of every flag and of every metric."""

import re
from pathlib import Path

import click
import pytest
from described_metrics import agent_text, described, operator_text

from vmferry_agent.main import run
from vmferry_operator.main import main

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize(("page", "command"), [("agent.md", run), ("operator.md", main)])
def test_each_flag_has_its_line_and_its_default(page: str, command: click.Command) -> None:
    told = dict(re.findall(r"^\| `(--[a-z-]+)` \|([^|]*)\|", (DOCS / page).read_text(), re.MULTILINE))
    flags = {option.opts[0]: option for option in command.params}
    assert set(told) == set(flags)
    for flag, option in flags.items():
        default = getattr(option, "default", None)
        if isinstance(default, str | int) and not isinstance(default, bool):
            assert f"`{default}`" in told[flag]


def test_each_metric_has_its_line_with_its_type_and_labels() -> None:
    line = r"^\| `(vmferry_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|"
    page = (DOCS / "metrics.md").read_text()
    told = {
        name: (type_, set(labels.split(",")) - {""})
        for name, labels, type_ in re.findall(line, page, re.MULTILINE)
    }
    assert told == described(operator_text()) | described(agent_text())
