"""Sentences that stay readable however many things they are about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmferry_operator.decisions.wording import LONGEST_NAME, Clause, listed, sentence, shortened_name


@pytest.mark.parametrize(
    ("items", "count", "text"),
    [
        (["a"], 3, "a"),
        (["a", "b", "c"], 3, "a, b, c"),
        (["a", "b", "c", "d"], 3, "a, b, c, and 1 more"),
        (["a", "b"], 1, "a, and 1 more"),
        (["a", "b"], 0, "2 not shown here"),
        (["x" * 200], 3, "x" * 109 + "…"),
    ],
)
def test_a_list_shows_the_first_ones_and_counts_the_rest(items: list[str], count: int, text: str) -> None:
    assert listed(items, count) == text


@pytest.mark.parametrize(
    ("most", "text"),
    [
        (99, "head; one: a, b, c; two: d"),
        (27, "head; one: a, b, c; two: d"),
        (25, "head"),
        (4, "head"),
    ],
)
def test_a_sentence_says_as_much_as_fits(most: int, text: str) -> None:
    clauses = [
        Clause(intro="one", items=["a", "b", "c"]),
        Clause(intro="none", items=[]),
        Clause(intro="two", items=["d"]),
    ]
    assert sentence("head", clauses, most=most) == text


@given(items=st.lists(st.text(max_size=300), max_size=30), most=st.integers(10, 500))
def test_no_sentence_is_longer_than_it_may_be(items: list[str], most: int) -> None:
    assert len(sentence("head", [Clause(intro="one", items=items)], most=most)) <= most


def test_a_very_long_name_is_told_by_its_beginning() -> None:
    assert shortened_name("n" * 253) == "n" * (LONGEST_NAME - 1) + "…"
    assert shortened_name("short") == "short"
