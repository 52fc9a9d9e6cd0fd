"""What manifests/monitoring asks of Prometheus: the expressions of rules and dashboard."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[1] / "manifests" / "monitoring"
RULES = MONITORING / "rules.yaml"
DASHBOARD = MONITORING / "dashboard.json"
VARIABLES = {"$policy": ".*", "$__rate_interval": "1m"}
"""What Grafana puts in their place."""

_SELECTOR = re.compile(r"\b((?:vmferry_|process_|(?:cluster|policy):)[a-zA-Z0-9_:]+|up)\b(?:\{([^}]*)\})?")


def rules() -> list[dict[str, Any]]:
    """All of them."""
    groups = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """The dashboard's, but for its rows."""
    dashboard = json.loads(DASHBOARD.read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def shown() -> Iterator[tuple[str, str]]:
    """Title and expression of all that the dashboard shows, its variables filled in."""
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            yield panel["title"], expression


def selectors(expression: str) -> Iterator[tuple[str, str]]:
    """Name and matchers of each series that an expression reads."""
    yield from _SELECTOR.findall(expression)
