"""Admission holds a target to the addresses that the source's agent goes by."""

import re
from pathlib import Path

import pytest
import yaml

from vmferry_api.transports import CERTIFIED, DAEMONS, STREAM

FILE = Path(__file__).parents[3] / "manifests" / "base" / "admission-migration-status.yaml"


@pytest.mark.parametrize(
    ("variable", "patterns"), [("isDaemon", DAEMONS), ("isStream", [STREAM]), ("isCertified", [CERTIFIED])]
)
def test_it_has_the_same_patterns(variable, patterns):
    policy, _binding = yaml.safe_load_all(FILE.read_text())
    expression = next(each["expression"] for each in policy["spec"]["variables"] if each["name"] == variable)
    assert re.findall(r"matches\(r'\^(.*?)\$'\)", expression) == list(patterns)
