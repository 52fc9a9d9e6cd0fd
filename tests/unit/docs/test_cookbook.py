"""The cookbook's policies are those of the files beside it, and do what its table tells."""

import re
from datetime import timedelta
from functools import cache

import pytest

from doc_pages import ROOT
from doc_pages.manifests import manifests
from kubectl_vmferry.policy_files import read_policies
from kubectl_vmferry.simulation.guests import Guest
from kubectl_vmferry.simulation.prediction import prediction_setting
from kubectl_vmferry.simulation.results import OutcomeName
from kubectl_vmferry.simulation.simulate import simulate
from vmferry_api.quantities import parse_quantity

PAGE = (ROOT / "docs" / "cookbook.md").read_text()
FILES = sorted((ROOT / "docs" / "recipes").glob("*.yaml"))
TABLE = re.findall(r"^\| \[([\w-]+)\]\(#[\w-]+\) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
CALM = Guest(
    memory=parse_quantity("8Gi"), dirty_rate=parse_quantity("500Mi"), working_set=parse_quantity("1Gi")
)
BUSY = Guest(
    memory=parse_quantity("16Gi"), dirty_rate=parse_quantity("2Gi"), working_set=parse_quantity("4Gi")
)


@cache
def recipes():
    named = read_policies([(path.stem, path.read_text()) for path in FILES])
    return {path.stem: each.policy for path, each in zip(FILES, named, strict=True)}


def what_becomes_of(recipe: str, guest: Guest) -> str:
    setting = prediction_setting(guest, link=parse_quantity("1Gi"), until=timedelta(days=1).total_seconds())
    end = simulate(recipe, recipes()[recipe], setting, others=list(recipes().values())).outcome
    if end.outcome == OutcomeName.SUCCEEDED:
        return f"moves in {end.total_time:.0f} s, stopped for {end.downtime * 1000:.0f} ms"
    assert end.outcome == OutcomeName.FAILED
    return f"stays where it is, given up after {end.total_time:.0f} s"


@pytest.mark.parametrize(("recipe", "calm", "busy"), TABLE, ids=[row[0] for row in TABLE])
def test_a_recipe_does_what_the_table_tells(recipe, calm, busy):
    assert (what_becomes_of(recipe, CALM), what_becomes_of(recipe, BUSY)) == (calm, busy)


def test_each_file_is_shown_and_in_the_table():
    assert len(FILES) == 15
    assert {row[0] for row in TABLE} == {path.stem for path in FILES}
    assert {each.text for each in manifests() if each.page == "docs/cookbook.md"} == {
        path.read_text() for path in FILES
    }


@pytest.mark.parametrize("shown", manifests(), ids=lambda each: f"{each.page}:{each.line}")
def test_each_policy_on_a_page_is_one_that_the_api_server_would_take(shown):
    """The API server's own word: tests/integration/test_documented_objects.py."""
    if shown.kind == "MigrationPolicy":
        assert read_policies([(shown.page, shown.text)])
