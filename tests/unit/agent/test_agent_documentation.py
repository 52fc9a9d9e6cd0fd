"""docs/agent.md tells of every flag and of every metric."""

import re
from pathlib import Path

from vmferry_agent.main import run
from vmferry_agent.metrics import AgentState, Metrics

PAGE = (Path(__file__).parents[3] / "docs" / "agent.md").read_text()


def test_each_flag_has_its_line_and_its_default():
    told = dict(re.findall(r"^\| `(--[a-z-]+)` \|([^|]*)\|", PAGE, re.MULTILINE))
    flags = {option.opts[0]: option for option in run.params}
    assert set(told) == set(flags)
    for flag, option in flags.items():
        default = getattr(option, "default", None)
        if isinstance(default, str | int) and not isinstance(default, bool):
            assert f"`{default}`" in told[flag]


def test_each_metric_has_its_line():
    metrics = Metrics()
    metrics.follow(lambda: AgentState(roles=[], lease_renewed_at=None))
    names = re.findall(r"^# TYPE (vmferry_\w+) (\w+)$", metrics.text().decode(), re.MULTILINE)
    real = {name for name, _ in names if not name.endswith("_created")}
    assert set(re.findall(r"^\| `(vmferry_\w+)", PAGE, re.MULTILINE)) == real
