"""What one decision of the operator costs: `decide` on a migration in the middle of its life, without any I/O.

    python bench/decisions.py [CALLS]

The surroundings are made anew for each call, as the controller does; what it reckons of all migrations together is
kept, as there, until one comes or goes (those rows say so). What is measured is the process's CPU time, so that
whatever else the machine does is left out; garbage collection is on.
"""

import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from vmferry_api.conditions import Condition, ConditionType, Status
from vmferry_api.migrations import (
    Applied,
    AppliedPolicy,
    Attempt,
    PassRecord,
    Phase,
    Progress,
    Queue,
    SourceReport,
    TargetReport,
    VMMigration,
    VMMigrationStatus,
    VMReport,
    VMState,
)
from vmferry_api.policies import MigrationPolicy
from vmferry_kube.keys import ObjectKey
from vmferry_operator.decisions.decide import OWN_CONDITIONS, OWN_FIELDS, Surroundings, decide
from vmferry_operator.live_cluster import LiveCluster

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GIB = 2**30
NODES = 50
"""Half of them send, half of them receive."""
LIMIT = 1e-3
"""Seconds that a decision of the planner may take: all that is decided on a migration that runs."""

LADDER: dict[str, object] = {
    "maxDowntime": "50ms",
    "bandwidth": {"perMigration": "100Mi"},
    "steps": [
        *({"after": {"stalled": "10s"}, "setMaxDowntime": f"{each}ms"} for each in range(100, 1100, 100)),
        *({"after": {"passes": 100 * each}, "setBandwidth": f"{100 + each}Mi"} for each in range(1, 4)),
        {"after": {"elapsed": "1h"}, "restart": {"start": {"compression": {"method": "XBZRLE"}}}},
        {"after": {"stalled": "10s"}, "switchToPostCopy": {}},
        {"after": {"elapsedPerGiB": "2h"}, "abort": {}},
    ],
}
SHARED: dict[str, object] = {
    **LADDER,
    "bandwidth": {"perMigration": "100Mi", "perNode": "1Gi"},
    "concurrency": {"outgoingPerNode": 20, "incomingPerNode": 20, "perCluster": 500},
}
OBJECTIVE: dict[str, object] = {
    "objective": {
        "preferredDowntime": "100ms",
        "maxDowntime": "500ms",
        "completeWithin": "10m",
        "allow": ["AutoConverge", "PostCopy"],
    }
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that is measured."""

    name: str
    call: Callable[[], object]
    runs: bool = True
    """It is a decision on a migration that runs, by policies as they are: the planner's."""


def main(calls: int) -> str:
    """Measure all cases so many times each, and return the table."""
    many = everything()
    few = many[:3]
    crowd = [*(running(f"r{n}", n) for n in range(50)), *(queued(f"q{n}", n) for n in range(450))]
    share = [
        *(running(f"r{n}", n, by="shared") for n in range(500)),
        *(queued(f"q{n}", 500 + n, by="shared") for n in range(500)),
    ]
    long = [
        *(running(f"r{n}", n) for n in range(50)),
        *(queued(f"q{n}", 50 + n) for n in range(950)),
        *ended(5000),
    ]
    cases = [
        Case(name="16 steps, alone", call=deciding(running("m", 0), few)),
        Case(name="objective, alone", call=deciding(running("m", 0, by="objective"), few)),
        Case(name="by selector, 200 policies with selectors", call=deciding(running("m", 0, by=None), many)),
        Case(
            name="not begun, 200 policies with selectors",
            call=deciding(queued("m", 0, by=None), many, [running(f"r{n}", 0) for n in range(2)]),
            runs=False,
        ),
        Case(name="16 steps, 500 others: 50 run, 450 wait", call=deciding(running("m", 0), few, crowd)),
        Case(
            name="it waits as the 226th of 451, 50 run",
            call=deciding(queued("m", 225), few, crowd),
            runs=False,
        ),
        Case(
            name="not begun, 200 policies, 500 others",
            call=deciding(queued("m", 225, by=None), many, crowd),
            runs=False,
        ),
        Case(
            name="as one came or went: whose turn it is, of 450",
            call=waking(few, crowd),
            runs=False,
        ),
        Case(name="16 steps, 500 run and share perNode, 500 wait", call=deciding(share[0], few, share)),
        Case(
            name="it waits as the 500th, 500 run and share perNode",
            call=deciding(share[-1], few, share),
            runs=False,
        ),
        Case(
            name="as one came or went: 16 steps, 500 run",
            call=deciding(share[0], few, share, anew=True),
            runs=False,
        ),
        Case(
            name="as one came or went: it waits, 500 run",
            call=deciding(share[-1], few, share, anew=True),
            runs=False,
        ),
        Case(
            name="as one came or went: whose turn and share it is",
            call=waking(few, share),
            runs=False,
        ),
        Case(name="16 steps, 50 run, 950 wait, 5000 are over", call=deciding(long[0], few, long)),
        Case(
            name="it waits as the 950th, 50 run, 5000 are over",
            call=deciding(long[999], few, long),
            runs=False,
        ),
        Case(
            name="as one came or went: it waits, 5000 are over",
            call=deciding(long[999], few, long, anew=True),
            runs=False,
        ),
    ]
    lines = [f"{'':50}  median    p99"]
    costs = {each.name: measured(each.call, calls) for each in cases}
    lines += [
        f"{name:50} {median * 1e3:5.3f} ms {p99 * 1e3:6.3f} ms" for name, (median, p99) in costs.items()
    ]
    slowest = max(costs[each.name][0] for each in cases if each.runs)
    verdict = "met" if slowest < LIMIT else "NOT met"
    lines.append("")
    lines.append(
        f"The planner costs under 1 ms per decision: {verdict} (slowest median {slowest * 1e3:.3f} ms)."
    )
    over = [name for name, (median, _) in costs.items() if median >= LIMIT]
    if over:
        lines.append(f"Above 1 ms, and not the planner: {'; '.join(over)}.")
    return "\n".join(lines)


def measured(call: Callable[[], object], calls: int) -> tuple[float, float]:
    """The median and the 99th percentile, in seconds."""
    for _ in range(calls // 10):
        call()
    took = []
    for _ in range(calls):
        began = time.process_time()
        call()
        took.append(time.process_time() - began)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


def deciding(
    migration: VMMigration,
    policies: Sequence[MigrationPolicy],
    others: Sequence[VMMigration] = (),
    *,
    anew: bool = False,
) -> Callable[[], object]:
    """A decision on a migration whose last decision is written already; anew: as another one came or went."""
    now = NOW + timedelta(seconds=60)
    live = following(policies, [*others, migration])

    def call() -> VMMigrationStatus:
        if anew:
            live.policies_changed()
        around = Surroundings(
            policies=policies,
            nodes={migration.spec.source_node, migration.spec.target_node},
            namespace_labels={"env": "prod"},
            cluster=live.now(),
        )
        return decide(migration, around, now=now).status

    for _ in range(3):
        own = call()
        theirs = [each for each in migration.status.conditions if each.type not in OWN_CONDITIONS]
        fields = {name: getattr(own, name) for name in OWN_FIELDS}
        status = migration.status.replace(**fields, conditions=[*theirs, *own.conditions])
        if status.attempts and status.desired is not None:
            applied = Applied(revision=status.desired.revision, attempt=1, time=now)
            status = status.replace(applied=applied)
        migration = migration.replace(status=VMMigrationStatus.model_validate(status.as_json()))
        live.migration_changed(ObjectKey("prod", migration.metadata.name), migration)
    return call


def waking(policies: Sequence[MigrationPolicy], migrations: Sequence[VMMigration]) -> Callable[[], object]:
    """What the controller asks when slots are taken or given back."""
    live = following(policies, migrations)

    def call() -> object:
        live.policies_changed()
        cluster = live.now()
        return cluster.turns.worth_a_look(now=NOW), cluster.shares.changed()

    return call


def following(policies: Sequence[MigrationPolicy], migrations: Sequence[VMMigration]) -> LiveCluster:
    """The cluster as the controller keeps it."""
    live = LiveCluster(lambda: policies)
    for each in migrations:
        live.migration_changed(ObjectKey("prod", each.metadata.name), each)
    return live


def policy(name: str, spec: dict[str, object]) -> MigrationPolicy:
    """A policy."""
    return MigrationPolicy.model_validate({"metadata": {"name": name, "generation": 1}, "spec": spec})


@cache
def everything() -> list[MigrationPolicy]:
    """All policies of these benchmarks."""
    named = {"ladder": LADDER, "objective": OBJECTIVE, "shared": SHARED}
    return [*(policy(name, spec) for name, spec in named.items()), *selecting(200)]


def selecting(count: int) -> list[MigrationPolicy]:
    """Policies whose selectors ask for much; the one that matches is the last in rank."""
    return [
        policy(
            f"s{number}",
            {
                **LADDER,
                "priority": count - number,
                "selector": {
                    "vms": {
                        "matchLabels": {"tier": "db"},
                        "matchExpressions": [
                            {"key": "app", "operator": "In", "values": [f"app-{number}", "other"]}
                        ],
                    },
                    "namespaces": {"matchLabels": {"env": "prod"}},
                },
            },
        )
        for number in range(count)
    ]


def object_of(uid: str, number: int, *, by: str | None, status: VMMigrationStatus) -> VMMigration:
    """A migration along one of the routes."""
    half = NODES // 2
    made = VMMigration.model_validate(
        {
            "metadata": {
                "name": uid,
                "namespace": "prod",
                "uid": uid,
                "generation": 1,
                "creationTimestamp": NOW + timedelta(seconds=number),
                "labels": {"tier": "db", "app": "app-199"},
                "finalizers": ["vmferry.io/migration"],
            },
            "spec": {
                "vm": f"vm-{uid}",
                "sourceNode": f"node-{number % half}",
                "targetNode": f"node-{half + number % half}",
                **({"policyRef": {"name": by}} if by else {}),
            },
        }
    )
    vm = VMReport(
        name=f"vm-{uid}", uuid=uid, memory=16 * GIB, vcpus=4, state=VMState.RUNNING, reason="Booted"
    )
    features = ["PostCopy"]
    return made.replace(
        status=status.replace(
            source=SourceReport(vm=vm, qemu_version="7.2.0", features=features),
            target=TargetReport(ready=True, qemu_version="7.2.0", features=features),
            policy=AppliedPolicy(name=by or "s199", generation=1),
        )
    )


def running(uid: str, number: int, *, by: str | None = "ladder") -> VMMigration:
    """One in its ninth pass, not converging."""
    recent = [
        PassRecord(
            memory_pass=each,
            elapsed=timedelta(seconds=4 * each),
            needed_downtime=timedelta(milliseconds=2000 - each),
        )
        for each in range(2, 10)
    ]
    progress = Progress(
        percent=90,
        memory_pass=9,
        remaining=GIB // 4,
        transferred=20 * GIB,
        total=16 * GIB,
        needed_downtime=recent[-1].needed_downtime,
        elapsed=timedelta(seconds=40),
        recent=recent,
    )
    stalling = Condition(
        type=ConditionType.MIGRATION_STALLING,
        status=Status.TRUE,
        reason="NotConverging",
        last_transition_time=NOW + timedelta(seconds=55),
    )
    begun = object_of(uid, number, by=by, status=VMMigrationStatus())
    desired = decide(
        begun,
        Surroundings(policies=everything(), nodes=None, namespace_labels={"env": "prod"}),
        now=NOW,
    ).status.desired
    return begun.replace(
        status=begun.status.replace(
            phase=Phase.RUNNING,
            desired=desired,
            attempts=[Attempt(number=1, start=NOW + timedelta(seconds=20))],
            progress=progress,
            conditions=[stalling],
        )
    )


def ended(count: int) -> list[VMMigration]:
    """Those that have ended and are still there."""
    one = running("over", 0)
    one = one.replace(status=one.status.replace(phase=Phase.SUCCEEDED))
    named = [one.metadata.replace(name=f"over{n}", uid=f"over{n}") for n in range(count)]
    return [one.replace(metadata=metadata) for metadata in named]


def queued(uid: str, number: int, *, by: str | None = "ladder") -> VMMigration:
    """One that waits for its turn."""
    queue = Queue(position=number + 1, since=NOW + timedelta(seconds=number), waiting_for="perCluster")
    status = VMMigrationStatus(phase=Phase.PENDING, queue=queue)
    return object_of(uid, number, by=by, status=status)


def processor() -> str:
    """Its name."""
    names = (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines())
    known = [name for name in names if "GHz" in name or "EPYC" in name or "Xeon" in name or "Core" in name]
    return known[0] if known else platform.machine()


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    sys.stdout.write(f"python bench/decisions.py {number}\n")
    sys.stdout.write(f"{processor()}, Python {platform.python_version()}, {number} calls of each\n\n")
    sys.stdout.write(main(number) + "\n")
