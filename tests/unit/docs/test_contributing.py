"""What CONTRIBUTING.md tells of the code is there, by these names, in these files."""

import re

import pytest

from doc_pages import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
WALK = TEXT.partition("## Walk-through")[2].partition("\nThen:\n")[0]
STEPS = re.findall(r"^\d+\. \*\*.*?(?=^\d+\. \*\*|^Where |\Z)", WALK, re.MULTILINE | re.DOTALL)
NOT_IN_FILES = {"make crds", "desired"}


@pytest.mark.parametrize("step", STEPS, ids=range(1, len(STEPS) + 1))
def test_a_step_names_what_is_in_its_files(step):
    files = re.findall(r"\]\(([^)#]+\.py)\)", step)
    source = "\n".join((ROOT / file).read_text() for file in files)
    names = set(re.findall(r"`([^`]+)`", step)) - NOT_IN_FILES
    assert files
    assert {name for name in names if name.rpartition(".")[2] not in source} == set()


def test_the_walk_has_all_its_steps():
    assert len(STEPS) == 10


def test_every_target_of_make_is_in_the_table():
    targets = set(re.findall(r"^(\w+):[^\n]*  ##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == targets - {"setup", "clean"}
