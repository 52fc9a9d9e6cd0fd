"""What an edit of the policy makes of values that steps have moved already."""

from datetime import timedelta

import pytest
from migrations_in_words import policy
from worlds import Event, Guest, Scenario, World

from vmferry_operator.decisions.parameters import budget, progress_timeout

MI = 2**20
STALLED = {"stalled": "1s"}


def rung(milliseconds: int) -> dict[str, object]:
    return {"after": STALLED, "setMaxDowntime": f"{milliseconds}ms"}


def cap(mebibytes: int) -> dict[str, object]:
    return {"after": STALLED, "setBandwidth": f"{mebibytes}Mi"}


def edited(before: dict[str, object], after: dict[str, object], *, overrides: object = None) -> World:
    """Its steps are all taken when the policy is edited, and nothing is stalling any more."""
    quiet = {**after, "stallingLimit": "0s"}
    events = [Event(at=40, policies={"p": quiet}, spec={"overrides": overrides} if overrides else {})]
    guest = Guest(needed=4000, first_pass=4)
    policies = {"p": {"stallingLimit": "2s", "progressTimeout": "0s", **before}}
    return World(Scenario(policies=policies, guest=guest, events=events)).run(45)


LADDER = {"maxDowntime": "100ms", "steps": [rung(200), rung(500)]}


@pytest.mark.parametrize(
    ("after", "granted"),
    [
        (LADDER, 500),
        ({**LADDER, "maxDowntime": "50ms"}, 500),
        ({**LADDER, "maxDowntime": "900ms"}, 900),
        ({**LADDER, "steps": [rung(200)]}, 200),
        ({**LADDER, "steps": [{"after": {"stalled": "1h"}, "setMaxDowntime": "800ms"}]}, 500),
        ({**LADDER, "steps": [{"after": {"elapsed": "1h"}, "suspend": {}}]}, 100),
        ({"maxDowntime": "70ms"}, 70),
        ({}, 300),
        ({"objective": {"preferredDowntime": "100ms", "maxDowntime": "1s"}}, 500),
    ],
)
def test_what_a_step_has_granted_stays_as_far_as_the_edited_policy_still_goes(
    after: dict[str, object], granted: int
) -> None:
    assert edited(LADDER, LADDER).desired.max_downtime == timedelta(milliseconds=500)
    assert edited(LADDER, after).desired.max_downtime == timedelta(milliseconds=granted)


def test_an_objective_that_takes_a_ladder_s_place_lowers_what_was_granted_to_its_budget() -> None:
    objective = {"preferredDowntime": "100ms", "maxDowntime": "300ms", "otherwise": "KeepTrying"}
    world = edited(LADDER, {"objective": objective})
    own = world.policies["p"].spec.objective
    assert own is not None
    assert world.desired.max_downtime == budget(own)


CAPS = {"bandwidth": {"perMigration": "50Mi"}, "steps": [cap(60), cap(80)]}


@pytest.mark.parametrize(
    ("after", "bandwidth"),
    [
        (CAPS, 80),
        ({**CAPS, "bandwidth": {"perMigration": "20Mi"}}, 80),
        ({**CAPS, "bandwidth": {"perMigration": "90Mi"}}, 90),
        ({**CAPS, "steps": [cap(60)]}, 60),
        ({"bandwidth": {"perMigration": "50Mi"}}, 50),
        ({"bandwidth": {}}, None),
        ({}, None),
    ],
)
def test_so_does_the_bandwidth(after: dict[str, object], bandwidth: int | None) -> None:
    wanted = None if bandwidth is None else bandwidth * MI
    assert edited(CAPS, after).desired.bandwidth == wanted


@pytest.mark.parametrize(
    ("overrides", "granted"),
    [({"maxDowntime": "50ms"}, 500), ({"maxDowntime": "700ms"}, 700), ({"stallingLimit": "9s"}, 500)],
)
def test_an_override_counts_as_the_policy_s_own_value(overrides: dict[str, str], granted: int) -> None:
    world = edited(LADDER, LADDER, overrides=overrides)
    assert world.desired.max_downtime == timedelta(milliseconds=granted)


def test_every_edit_is_one_revision_that_names_what_it_changes() -> None:
    world = edited(LADDER, {**LADDER, "maxDowntime": "900ms", "progressTimeout": "20s"})
    assert world.desired.revision == 4
    assert world.desired.reason == "the policy now says so: maxDowntime, stallingLimit, progressTimeout"


TRYING = {"objective": {"maxDowntime": "500ms", "otherwise": "KeepTrying"}}
GIVING_UP = {"objective": {"maxDowntime": "500ms"}}


@pytest.mark.parametrize(
    ("spec", "seconds"),
    [
        ({}, 150),
        (LADDER, 150),
        (GIVING_UP, 150),
        (TRYING, 0),
        ({**TRYING, "progressTimeout": "20s"}, 20),
        ({"progressTimeout": "0s"}, 0),
    ],
)
def test_who_keeps_trying_is_not_given_up_for_want_of_progress_unless_told_to(
    spec: dict[str, object], seconds: int
) -> None:
    assert progress_timeout(policy(**spec).spec) == timedelta(seconds=seconds)


XBZRLE = {"start": {"compression": {"method": "XBZRLE"}}}


def cached(size: str) -> dict[str, object]:
    return {"start": {"compression": {"method": "XBZRLE", "cacheSize": size}}}


@pytest.mark.parametrize("on_edit", [True, False])
@pytest.mark.parametrize(
    ("before", "after", "cache"),
    [
        (cached("64Mi"), cached("128Mi"), 128 * MI),
        (cached("64Mi"), cached("64Mi"), 64 * MI),
        (cached("128Mi"), XBZRLE, 64 * MI),
        (XBZRLE, cached("128Mi"), 128 * MI),
        (XBZRLE, XBZRLE, None),
        ({}, {}, None),
    ],
)
def test_the_compression_cache_follows_an_edit_in_flight_without_a_restart(
    before: dict[str, object], after: dict[str, object], cache: int | None, on_edit: bool
) -> None:
    world = edited({**before, "restartOnEdit": on_edit}, {**after, "restartOnEdit": on_edit})
    assert (world.desired.compression_cache, world.desired.attempt) == (cache, 1)
    assert world.desired.start == policy(**before).spec.start


@pytest.mark.parametrize(
    ("before", "after", "cache"),
    [
        (cached("64Mi"), {}, 64 * MI),
        ({}, cached("64Mi"), None),
        ({"start": {"autoConverge": {"initial": 20, "increment": 10}}}, cached("64Mi"), None),
    ],
)
def test_an_attempt_that_was_started_otherwise_keeps_the_cache_that_it_has(
    before: dict[str, object], after: dict[str, object], cache: int | None
) -> None:
    assert edited(before, after).desired.compression_cache == cache


def test_an_edit_of_more_than_the_cache_restarts_with_the_cache_that_is_wanted_then() -> None:
    after = {"start": {**cached("128Mi")["start"], "encryption": "Required"}, "restartOnEdit": True}
    world = edited(cached("64Mi"), after)
    assert (world.desired.attempt, world.desired.compression_cache) == (2, 128 * MI)
