import asyncio
import json
import logging

import pytest

from vmferry_kube.logs import LogFormat, about, log_to_stderr

LOGGER = logging.getLogger("vmferry_agent.role")


@pytest.fixture
def logs(capsys):
    """Starts logging in a format, and hands out the lines; pytest's own handlers come back afterwards."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level

    def start(log_format):
        root.handlers = []
        log_to_stderr(log_format=log_format)

        def lines():
            return capsys.readouterr().err.splitlines()

        return lines

    yield start
    root.handlers = before
    root.setLevel(level)


def test_a_line_is_text_for_people_with_what_it_is_about_at_its_end(logs):
    lines = logs(LogFormat.TEXT)
    with about({"object": "prod/db-1", "revision": 3}):
        LOGGER.info("attempt %d", 1)
    (line,) = lines()
    assert line.endswith("Z INFO    vmferry_agent.role: attempt 1 object=prod/db-1 revision=3")


def test_a_line_is_one_json_object_for_collectors(logs):
    lines = logs(LogFormat.JSON)
    with about({"object": "prod/db-1", "revision": 3}):
        LOGGER.warning("attempt %d", 1)
    (line,) = map(json.loads, lines())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "vmferry_agent.role",
        "message": "attempt 1",
        "object": "prod/db-1",
        "revision": 3,
    }


def test_a_traceback_stays_within_its_line(logs):
    lines = logs(LogFormat.JSON)
    try:
        raise ValueError("embedded null character")
    except ValueError:
        LOGGER.exception("again")
    (line,) = map(json.loads, lines())
    assert line["exception"].splitlines()[-1] == "ValueError: embedded null character"


async def test_each_task_s_lines_are_about_its_own_object_and_the_newest_revision(logs):
    lines = logs(LogFormat.JSON)

    async def work(told):
        await told.wait()
        LOGGER.info("done")

    tasks, told, fields = [], asyncio.Event(), {}
    for name in ("a", "b"):
        fields[name] = {"object": name, "revision": 1}
        with about(fields[name]):
            tasks.append(asyncio.create_task(work(told)))
    fields["b"]["revision"] = 2
    told.set()
    await asyncio.gather(*tasks)
    LOGGER.info("neither")
    seen = [(line.get("object"), line.get("revision")) for line in map(json.loads, lines())]
    assert seen == [("a", 1), ("b", 2), (None, None)]
