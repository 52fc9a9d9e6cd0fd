"""After a failure: again, how often, and when."""

from datetime import timedelta

import pytest
from migrations_in_words import NOW, after

from vmferry_api.migrations import Attempt, AttemptOutcome
from vmferry_api.policies import Retry
from vmferry_operator.decisions.retries import is_last, next_try

FAILED = Attempt(number=1, start=NOW, end=after(9), outcome=AttemptOutcome.FAILED)
RETRY = Retry(attempts=3, backoff=timedelta(seconds=20))


@pytest.mark.parametrize(("failures", "least", "most"), [(1, 20, 24), (2, 40, 48)])
def test_the_backoff_doubles_and_has_some_jitter(failures: int, least: float, most: float) -> None:
    again = next_try(RETRY, failures, FAILED, "u")
    assert again is not None
    assert after(9 + least) <= again.at <= after(9 + most)
    assert (again.number, again.of) == (failures + 1, 3)
    assert again == next_try(RETRY, failures, FAILED, "u")


def test_migrations_that_failed_together_do_not_come_back_together() -> None:
    moments = {again.at for n in range(20) if (again := next_try(RETRY, 1, FAILED, f"u{n}"))}
    assert len(moments) > 10


def test_the_backoff_does_not_grow_for_ever() -> None:
    again = next_try(Retry(attempts=100), 99, FAILED, "u")
    assert again is not None
    assert again.at <= after(9) + timedelta(hours=1.2)


@pytest.mark.parametrize(
    ("retry", "failures", "last"),
    [
        (None, 1, FAILED),
        (RETRY, 0, None),
        (RETRY, 0, FAILED),
        (RETRY, 3, FAILED),
        (RETRY, 4, FAILED),
        (RETRY, 1, FAILED.replace(end=None, outcome=None)),
    ],
)
def test_there_is_no_other_try(retry: Retry | None, failures: int, last: Attempt | None) -> None:
    assert next_try(retry, failures, last, "u") is None


@pytest.mark.parametrize(
    ("attempts", "failures", "last"),
    [(3, 1, False), (3, 2, True), (3, 3, False), (1, 0, False), (2, 1, True)],
)
def test_the_last_of_several_tries_is_told(attempts: int, failures: int, *, last: bool) -> None:
    assert is_last(Retry(attempts=attempts), failures) == last
