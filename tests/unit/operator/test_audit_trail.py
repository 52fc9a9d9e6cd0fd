"""What of the audit trail may be forgotten once it is too long."""

import pytest
from migrations_in_words import NOW

from vmferry_api.migrations import StepRecord
from vmferry_operator.decisions.records import MAX_RECORDS, bounded, closed


def step(action: str, value: str | None = None, *, attempt: int = 5, outcome: str = "Applied") -> StepRecord:
    words = action if value is None else f"{action} with {value}"
    return StepRecord(
        time=NOW, attempt=attempt, trigger="t", action=words, value=value, revision=1, outcome=outcome
    )


RESTART = step("restart", "{}")
TO_1S = step("setMaxDowntime", "1s")
REFUSED = step("setMaxDowntime", "2s", outcome="Failed: no")


@pytest.mark.parametrize(
    ("trail", "forgotten"),
    [
        ([step("abort", attempt=1)], 0),
        ([RESTART, step("suspend", attempt=2)], 1),
        ([RESTART, TO_1S, step("setMaxDowntime", "3s")], 1),
        ([RESTART, REFUSED, TO_1S, REFUSED], 1),
        ([RESTART, step("restart"), TO_1S], 1),
        ([RESTART, TO_1S, step("switchToPostCopy", outcome="Withdrawn: the policy")], 2),
        ([RESTART, RESTART], 0),
        ([RESTART, TO_1S], 0),
    ],
)
def test_the_oldest_record_that_means_nothing_any_more_goes_first(
    trail: list[StepRecord], forgotten: int
) -> None:
    others = [step("restart", f'{{"parallelConnections":{number}}}') for number in range(MAX_RECORDS)]
    full = [*trail, *others][: MAX_RECORDS + 1]
    kept = bounded(full, 3)
    assert len(kept) == MAX_RECORDS
    assert kept == [*full[:forgotten], *full[forgotten + 1 :]]


def test_a_trail_that_is_short_enough_is_kept_whole() -> None:
    assert bounded([RESTART] * MAX_RECORDS, 9) == [RESTART] * MAX_RECORDS


def test_what_was_not_answered_when_it_ended_will_not_be() -> None:
    assert [each.outcome for each in closed([TO_1S, step("suspend", outcome="Pending")])] == [
        "Applied",
        "Overtaken: the migration had ended",
    ]
