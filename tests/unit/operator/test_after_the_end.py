"""When the object of a migration that is over is deleted."""

import pytest
from migrations_in_words import after, migration, policy, running

from vmferry_api import FINALIZER
from vmferry_api.migrations import Attempt, AttemptOutcome, VMMigration
from vmferry_operator.decisions.decide import Surroundings, decide

AROUND = Surroundings(policies=[policy(globalDefault=True)], nodes=set(), namespace_labels={})


def ended(lives: str | None, **metadata: object) -> VMMigration:
    """One that was cancelled, as the operator has written it down ten seconds after its creation."""
    attempt = Attempt(number=1, start=after(0), end=after(9), outcome=AttemptOutcome.CANCELLED)
    spec = {} if lives is None else {"ttlAfterFinished": lives}
    it = migration(running(attempts=[attempt]), metadata, **spec)
    decision = decide(it, AROUND, now=after(10))
    assert not decision.delete
    wait = None if decision.check_again is None else decision.check_again.total_seconds()
    assert wait == {None: None, "0s": 0, "1m": 60}[lives]
    return it.replace(status=decision.status)


@pytest.mark.parametrize(
    ("lives", "at", "deletes", "check_again"),
    [
        (None, 10**6, False, None),
        ("0s", 10, True, None),
        ("1m", 11, False, 59),
        ("1m", 69.5, False, 0.5),
        ("1m", 70, True, None),
        ("1m", 10**6, True, None),
    ],
)
def test_it_is_deleted_so_long_after_its_end_and_not_before(
    lives: str | None, at: float, deletes: bool, check_again: float | None
) -> None:
    decision = decide(ended(lives), AROUND, now=after(at))
    wait = None if decision.check_again is None else decision.check_again.total_seconds()
    assert (decision.delete, wait) == (deletes, check_again)


def test_it_is_not_deleted_where_somebody_has_deleted_it_already() -> None:
    it = ended("1m", deletionTimestamp=after(20), finalizers=[FINALIZER])
    decision = decide(it, AROUND, now=after(100))
    assert not decision.delete
    assert not decision.finalizer
