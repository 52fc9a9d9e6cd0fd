"""The demo tells what happens in the order in which it happens."""

from datetime import UTC, datetime, timedelta

from vmferry_api.migrations import VMMigration
from vmferry_lab.demo.story import Story

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def migration(**status: object) -> VMMigration:
    return VMMigration.model_validate(
        {
            "metadata": {"name": "m"},
            "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
            "status": {"attempts": [{"number": 1, "start": after(0)}], **status},
        }
    )


def progress(elapsed: str, memory_pass: int) -> dict[str, object]:
    return {
        "percent": 99,
        "pass": memory_pass,
        "remaining": 0,
        "transferred": "390Mi",
        "total": "1Gi",
        "neededDowntime": "1.28s",
        "maxDowntime": "100ms",
        "elapsed": elapsed,
    }


def stalling(status: str, at: float) -> dict[str, str]:
    return {
        "type": "MigrationStalling",
        "status": status,
        "reason": "NotConverging",
        "message": "no nearer for 4s",
        "lastTransitionTime": after(at),
    }


def step(at: float) -> dict[str, object]:
    return {
        "time": after(at),
        "step": 1,
        "trigger": "stalled for 2s",
        "action": "setMaxDowntime 100ms → 500ms",
        "revision": 2,
    }


def test_what_comes_in_one_status_is_told_by_its_time() -> None:
    story = Story()
    told = migration(progress=progress("9s", 6), conditions=[stalling("True", 8.6)], steps=[step(11)])
    assert list(story.lines(told)) == [
        "   9 s  MigrationStalling=True: no nearer for 4s",
        "   9 s  pass 6    99 %  sent  390 MiB  needed downtime  1.28s  granted  100ms",
        "  11 s  step 1: setMaxDowntime 100ms → 500ms   because: stalled for 2s",
    ]
    later = migration(progress=progress("23.4s", 26), conditions=[stalling("False", 24)], steps=[step(11)])
    assert [line[:12] for line in story.lines(later)] == ["  23 s  pass", "  24 s  Migr"]
    assert list(story.lines(later)) == []
