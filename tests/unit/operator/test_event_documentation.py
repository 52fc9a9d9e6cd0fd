"""docs/events.md and docs/gitops.md tell of the events and the words that there are."""

import re
from pathlib import Path

from hypothesis import given
from scenarios import scenarios
from test_whatever_happens import some
from worlds import Scenario, World

from vmferry_operator import event_recorder, event_series
from vmferry_operator.decisions.events import ON_THE_POLICY, WARNINGS, Reason

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "events.md").read_text()
WORDS = set(re.findall(r"`(\w+)`", (DOCS / "gitops.md").read_text()))
ROW = re.compile(r"^\| `(\w+)` \| (Normal|Warning) \| (yes)? ?\| (.+) \| (.+) \|$", re.MULTILINE)
ROWS = {reason: (type_, bool(policy), when, then) for reason, type_, policy, when, then in ROW.findall(TEXT)}


def test_each_reason_has_a_row_and_no_row_is_left_over():
    assert set(ROWS) == {str(reason) for reason in Reason}


def test_types_are_told_as_they_are_and_what_is_told_of_policies():
    assert {reason for reason, row in ROWS.items() if row[0] == "Warning"} == WARNINGS
    assert {reason for reason, row in ROWS.items() if row[1]} == ON_THE_POLICY


def test_reasons_are_camel_case_words_of_at_most_64_characters():
    assert all(re.fullmatch(r"([A-Z]+[a-z]*)+", reason) and len(reason) <= 64 for reason in Reason)


def test_the_bounds_are_told_as_they_are():
    assert f"{event_series.BURST} new Events at once" in TEXT
    assert f"one in {event_series.REFILL.seconds} s" in TEXT
    assert f"{event_series.MOST_WAITING} wait" in TEXT
    assert f"tried {event_recorder.MOST_TRIES} times" in TEXT
    assert f"every {event_series.UPDATE_EVERY.seconds} s" in TEXT
    assert (event_series.OVER_AFTER.seconds, "within six minutes" in TEXT) == (360, True)
    assert f"`{event_recorder.CONTROLLER}`" in TEXT


@some
@given(scenario=scenarios())
def test_whatever_happens_the_word_for_it_is_explained(scenario: Scenario):
    words = {look.after.status.reason for look in World(scenario).run(160).looks}
    assert {word for word in words if not word.endswith("NotPossible")} <= WORDS
