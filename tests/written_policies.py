"""Policies as people may write them, right and wrong: a corpus from a seed, for whoever judges them."""

from random import Random
from typing import Any

_ODDLY = 0.04
"""How often a value is one that is hardly ever right, in one policy of two."""
_DURATIONS = ("1ms", "20ms", "100ms", "500ms", "1s", "10s", "2m30s", "1h")
_ODD_DURATIONS = ("0s", "soon", "-1s", "1d", "2001s", "169h", "", 5, "10 s", "1.5s", "1.2345s", True, ["1s"])
_QUANTITIES = ("1Mi", "64Mi", "200Mi", "1G", 52428800, "1Gi", "1.5Gi")
_ODD_QUANTITIES = ("fast", "-1", "1e8", "0", "2Ti", 0, -5, 1.5, "1Mib", "", True)
_NAMES = ("balanced", "post-copy", "db-*", "a.b")
_ODD_NAMES = ("", "Post_Copy", "a b", 7, "x" * 254)
_LABELS = ("db", "", "B.c-d_e")
_ODD_LABELS = ("b c", "-x", 7, "x" * 64)


class Corpus:
    """Makes whole objects, one after the other."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._oddly = 0.0

    def policy(self) -> dict[str, Any]:
        """One object."""
        self._oddly = self._random.choice((0.0, _ODDLY))
        name = self._one(("p", "db-policy", "a.b-c"), ("Bad_Name", "", "-p", "x" * 254))
        made: dict[str, Any] = {
            "apiVersion": "vmferry.io/v1alpha1",
            "kind": "MigrationPolicy",
            "metadata": {"name": name},
            "spec": self._spec(),
        }
        if self._odd():
            made["specs"] = {}
        if self._odd() and self._odd():
            del made["spec"]
        return made

    def _spec(self) -> dict[str, Any]:
        spec = self._some(
            0.15,
            description=lambda: self._one(("For tests.",), (7, "x" * 1025)),
            globalDefault=self._flag,
            selector=self._selector,
            priority=lambda: self._number(-5, 5, (1_000_001, "5", 1.5)),
            concurrency=lambda: self._some(
                0.6,
                outgoingPerNode=lambda: self._number(1, 5, (0, 1001)),
                perCluster=lambda: self._number(1, 50, (0, 100_001)),
            ),
            bandwidth=lambda: self._some(
                0.6, perMigration=self._quantity, perNode=self._quantity, postCopy=self._quantity
            ),
            queuePriority=lambda: self._number(-9, 9, (1001,)),
            start=self._start,
            restartOnEdit=self._flag,
            maxDowntime=self._duration,
            stallingLimit=self._duration,
            progressTimeout=self._duration,
            timeout=lambda: self._some(0.6, base=self._duration, perGiB=self._duration),
            minStepInterval=self._duration,
            postCopyRecovery=lambda: self._some(
                0.6, attempts=lambda: self._number(0, 9, (-1, 1001)), backoff=self._duration
            ),
            retry=lambda: self._some(
                0.6,
                attempts=lambda: self._number(1, 4, (0, 101)),
                backoff=self._duration,
                thenPolicy=self._name,
            ),
        )
        way = self._random.random()
        if way < 0.5:
            spec["steps"] = [self._step() for _ in range(self._random.randint(1, 2))]
        elif way < 0.75:
            spec["objective"] = self._objective()
        elif way < 0.85:
            spec["agentDowntimeRamp"] = self._some(
                0.7, max=self._duration, steps=lambda: self._number(2, 9, (1, 51))
            )
        if self._odd():
            spec[self._random.choice(("maxDowntme", "max_downtime", "Steps"))] = "1s"
        return spec

    def _step(self) -> dict[str, Any]:
        after = self._random.choice(
            (
                {"stalled": self._duration()},
                {"passes": self._number(1, 9, (0, 1_000_001))},
                {"elapsed": self._duration()},
                {"elapsedPerGiB": self._duration()},
            )
        )
        action = self._random.choice(
            (
                {"setMaxDowntime": self._duration()},
                {"setMaxDowntime": "2s"},
                {"setBandwidth": self._quantity()},
                {"restart": {"start": self._start()}},
                {"switchToPostCopy": {}},
                {"suspend": {}},
                {"abort": {}},
            )
        )
        step = {"after": after, **action}
        if self._odd():
            step["abort"] = {}
        if self._odd():
            after["passes"] = 2
        if self._odd():
            del step["after"]
        return step

    def _objective(self) -> dict[str, Any]:
        allow = self._random.sample(("AutoConverge", "PostCopy", "Suspend"), self._random.randint(0, 3))
        if self._odd():
            allow.append(self._one(("PostCopy",), ("Magic",)))
        return {
            **({} if self._odd() else {"maxDowntime": self._duration()}),
            **self._some(
                0.4,
                preferredDowntime=self._duration,
                completeWithin=self._duration,
                completeWithinPerGiB=self._duration,
                allow=lambda: allow,
                throttle=lambda: self._one(("Gentle", "Hard"), ("Harder",)),
                postCopy=lambda: self._one(("WhenNeeded", "AfterFirstPass"), ("Now",)),
                otherwise=lambda: self._one(("Abort", "KeepTrying"), ("Pray",)),
            ),
        }

    def _start(self) -> dict[str, Any]:
        return self._some(
            0.35,
            autoConverge=lambda: self._some(
                0.6,
                initial=lambda: self._number(10, 60, (0, 100)),
                increment=lambda: self._number(5, 30, (0, 100)),
            ),
            compression=lambda: {
                "method": self._one(("XBZRLE", "Zlib", "Zstd"), ("LZ4",)),
                **self._some(0.3, cacheSize=self._quantity),
            },
            parallelConnections=lambda: self._number(1, 8, (0, 256)),
            zeroCopy=self._flag,
            encryption=lambda: self._one(("Required", "Disabled"), ("Maybe",)),
        )

    def _selector(self) -> dict[str, Any]:
        return self._some(
            0.6,
            vms=self._labels,
            names=lambda: [self._one(_NAMES, _ODD_NAMES) for _ in range(self._random.randint(0, 2))],
            namespaces=self._labels,
        )

    def _labels(self) -> dict[str, Any]:
        operator = self._one(("In", "NotIn", "Exists", "DoesNotExist"), ("Like",))
        values = [self._one(_LABELS, _ODD_LABELS)] if operator in {"In", "NotIn"} or self._odd() else []
        requirement = {"key": self._one(("tier", "example.com/tier"), ("a b", "")), "operator": operator}
        if values:
            requirement["values"] = values
        return self._some(
            0.6,
            matchLabels=lambda: {
                self._one(("tier", "example.com/tier"), ("a b",)): self._one(_LABELS, _ODD_LABELS)
            },
            matchExpressions=lambda: [requirement],
        )

    def _some(self, chance: float, **fields: Any) -> dict[str, Any]:
        return {name: make() for name, make in fields.items() if self._random.random() < chance}

    def _odd(self) -> bool:
        return self._random.random() < self._oddly

    def _one(self, usual: tuple[Any, ...], odd: tuple[Any, ...]) -> Any:
        return self._random.choice(odd if self._odd() else usual)

    def _number(self, least: int, most: int, odd: tuple[Any, ...]) -> Any:
        return self._one(tuple(range(least, most + 1)), odd)

    def _flag(self) -> Any:
        return self._one((True, False), ("yes", 1, None))

    def _duration(self) -> Any:
        return self._one(_DURATIONS, _ODD_DURATIONS)

    def _quantity(self) -> Any:
        return self._one(_QUANTITIES, _ODD_QUANTITIES)

    def _name(self) -> Any:
        return self._one(_NAMES[:2], _ODD_NAMES)
