"""Scenarios drawn by lot: policies and agents of every kind, users who edit, cancel and delete at any time.

They are drawn from a seed, not from Hypothesis' own choices: those crowd around the simplest scenarios, in which
nothing happens.
"""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import strategies as st
from worlds import EVERYTHING, Agent, Event, Guest, Scenario

Spec = dict[str, Any]

WITHOUT_POST_COPY = tuple(each for each in EVERYTHING if each != "PostCopy")
STARTS: list[Spec] = [
    {"autoConverge": {"initial": 40, "increment": 30}},
    {"autoConverge": {"initial": 20}},
    {"compression": {"method": "XBZRLE"}},
    {"parallelConnections": 2},
]
OVERRIDES: list[Spec] = [
    {"maxDowntime": "700ms"},
    {"maxDowntime": "50ms", "bandwidth": {"perMigration": "30Mi"}},
    {"stallingLimit": "3s"},
]
PARAMETERS = ["maxDowntime", "bandwidth", "suspend", "technique"]
SEEDS = st.integers(0, 2**32)


def scenarios() -> st.SearchStrategy[Scenario]:
    """All that may happen."""
    return SEEDS.map(lambda seed: _Lot(Random(seed)).scenario())


def hopeless() -> st.SearchStrategy[Scenario]:
    """A guest that no downtime is enough for, under policies that have an end, with an agent that answers."""
    return SEEDS.map(lambda seed: _Lot(Random(seed), ends=True).scenario())


def switching() -> st.SearchStrategy[Scenario]:
    """A migration that goes to post-copy, and whatever a user does about it then."""
    return SEEDS.map(switching_scenario)


def switching_scenario(seed: int) -> Scenario:
    """One of them."""
    return _Lot(Random(seed)).switching_scenario()


class _Lot:
    def __init__(self, lot: Random, *, ends: bool = False) -> None:
        self._lot = lot
        self._ends = ends

    def scenario(self) -> Scenario:
        return Scenario(
            policies={"p": self._spec(then="q"), "q": self._spec()},
            guest=Guest(
                needed=9000 if self._ends else self._lot.choice([700, 2000, 4000, 4000]),
                ratio=1.0 if self._ends else self._lot.choice([1.0, 1.0, 1.0, 0.98, 0.9]),
                first_pass=self._lot.randint(2, 6),
            ),
            agent=self._agent(),
            events=[self._event() for _ in range(self._lot.choice([0, 0, 1, 1, 2, 3]))],
        )

    def switching_scenario(self) -> Scenario:
        at = self._lot.randint(5, 20)
        steps = [
            {"after": {"elapsed": f"{at}s"}, "switchToPostCopy": {}},
            {"after": {"elapsed": f"{at + self._lot.randint(0, 5)}s"}, **self._action()},
            {"after": {"elapsed": f"{at + self._lot.randint(0, 5)}s"}, "abort": {}},
        ]
        policy = {"maxDowntime": "100ms", "stallingLimit": "3s", "steps": steps, **self._options()}
        return Scenario(
            policies={"p": policy, "q": self._spec()},
            guest=Guest(needed=4000, ratio=1.0, first_pass=self._lot.randint(2, 4)),
            agent=Agent(delay=self._lot.choice([0, 0, 1]), qemu="10.1.0"),
            events=[
                replace(self._event(), at=at + self._lot.randint(0, 6))
                for _ in range(self._lot.randint(1, 3))
            ],
        )

    def _chance(self, of: float) -> bool:
        return self._lot.random() < of

    def _seconds(self, least: int, most: int) -> str:
        return f"{self._lot.randint(least, most)}s"

    def _spec(self, *, then: str | None = None) -> Spec:
        end = self._lot.choice(["abort", "timeout", "progressTimeout"]) if self._ends else None
        spec: Spec = {
            "stallingLimit": self._seconds(2, 6),
            "progressTimeout": self._seconds(20, 60)
            if end == "progressTimeout" or self._chance(0.5)
            else "0s",
        }
        if end == "timeout":
            spec["timeout"] = {"base": self._seconds(30, 90)}
        spec |= self._options()
        spec |= self._plan(end)
        if self._chance(0.4):
            spec["retry"] = {"attempts": self._lot.randint(2, 4), "backoff": self._seconds(1, 15)}
            if then is not None and self._chance(0.5):
                spec["retry"]["thenPolicy"] = then
        return spec

    def _options(self) -> Spec:
        spec: Spec = {}
        if self._chance(0.6):
            spec["bandwidth"] = {"perMigration": "50Mi"}
            if self._chance(0.3):
                spec["bandwidth"]["postCopy"] = "1Gi"
        if self._chance(0.4):
            spec["start"] = self._lot.choice(STARTS)
        if self._chance(0.3):
            spec["restartOnEdit"] = True
        return spec

    def _plan(self, end: str | None) -> Spec:
        kinds = ["ladder", "ladder", "ladder", "objective", "objective", "ramp", "plain"]
        match "ladder" if end == "abort" else self._lot.choice(kinds):
            case "ladder":
                return self._ladder(aborts=end == "abort")
            case "objective":
                return {"objective": self._objective()}
            case "ramp":
                return {"agentDowntimeRamp": {"max": "500ms", "steps": 3}}
        return {}

    def _ladder(self, *, aborts: bool) -> Spec:
        steps = [{"after": self._trigger(1, 40), **self._action()} for _ in range(self._lot.randint(1, 6))]
        if aborts or self._chance(0.2):
            steps.append({"after": self._trigger(20, 80), "abort": {}})
        interval = self._seconds(1, 10) if self._chance(0.3) else "0s"
        return {"maxDowntime": "100ms", "minStepInterval": interval, "steps": steps}

    def _trigger(self, least: int, most: int) -> Spec:
        match self._lot.choice(["stalled", "stalled", "passes", "elapsed", "elapsedPerGiB"]):
            case "stalled":
                return {"stalled": self._seconds(0, 4)}
            case "passes":
                return {"passes": self._lot.randint(1, 6)}
            case name:
                return {name: self._seconds(least, most)}

    def _action(self) -> Spec:
        match self._lot.randint(0, 9):
            case 0 | 1 | 2:
                return {"setMaxDowntime": self._lot.choice(["150ms", "300ms", "500ms", "900ms", "2500ms"])}
            case 3 | 4:
                return {"setBandwidth": self._lot.choice(["60Mi", "80Mi", "200Mi"])}
            case 5 | 6:
                return {"restart": {"start": self._lot.choice(STARTS)}}
            case 7 | 8:
                return {"switchToPostCopy": {}}
            case _:
                return {"suspend": {}}

    def _objective(self) -> Spec:
        techniques = ["AutoConverge", "PostCopy", "Suspend"]
        objective: Spec = {
            "maxDowntime": self._lot.choice(["300ms", "500ms"]),
            "allow": self._lot.sample(techniques, self._lot.randint(0, 2)),
            "throttle": self._lot.choice(["Gentle", "Hard"]),
            "otherwise": self._lot.choice(["Abort", "KeepTrying"]),
        }
        if self._chance(0.5):
            objective["preferredDowntime"] = "50ms"
        if self._chance(0.5):
            objective["completeWithin"] = self._seconds(20, 120)
        if "PostCopy" in objective["allow"] and self._chance(0.5):
            objective["postCopy"] = "AfterFirstPass"
        return objective

    def _agent(self) -> Agent:
        return Agent(
            refuses=frozenset(self._lot.sample(PARAMETERS, self._lot.choice([0, 0, 0, 1, 2]))),
            delay=self._lot.choice([0, 0, 0, 1, 3]),
            dies_at=self._lot.randint(5, 100) if not self._ends and self._chance(0.1) else None,
            fails={number: self._lot.randint(5, 40) for number in range(1, 4) if self._chance(0.2)},
            features=WITHOUT_POST_COPY if self._chance(0.15) else EVERYTHING,
            qemu=self._lot.choice(["7.2.0", "10.1.0"]),
        )

    def _event(self) -> Event:
        at = self._lot.randint(2, 80)
        ends = [] if self._ends else ["cancel", "delete", "remove"]
        match self._lot.choice(["edit", "edit", "edit", "ref", "overrides", "overrides", *ends]):
            case "edit":
                return Event(at=at, policies={"p": self._spec(then="q")})
            case "remove":
                return Event(at=at, policies={"p": None})
            case "ref":
                return Event(at=at, spec={"policyRef": {"name": "q"}})
            case "overrides":
                return Event(at=at, spec={"overrides": self._lot.choice(OVERRIDES)})
            case "cancel":
                return Event(at=at, spec={"cancel": True})
            case _:
                return Event(at=at, deletes=True)
