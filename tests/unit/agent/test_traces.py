"""Recordings of attempts: what is written can be read as the recordings that tests are made of."""

import json
import logging
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from desired_parameters import desired
from recorded_traces import read, samples
from scripted_hypervisor import domain, sample
from source_setting import NOW, outcome

from vmferry_agent.decisions.outcome import Ended
from vmferry_agent.hypervisor.port import CompletedJob, StartRequest
from vmferry_agent.migrations import traces as module
from vmferry_agent.migrations.traces import Recorded, Traces
from vmferry_api.migrations import Attempt, AttemptOutcome, MigrationTechnique, VMMigrationStatus
from vmferry_api.policies import StartOptions

ATTEMPT = Recorded(namespace="default", name="m", uid="u", number=1)
FILE = "default_m_u_1.jsonl"
REQUEST = StartRequest(
    connect_uri="b",
    migration_uri=None,
    bandwidth=50 * 2**20,
    post_copy_bandwidth=40 * 2**20,
    post_copy=True,
    persistent=True,
    options=StartOptions(parallel_connections=4),
)
COMPLETED = Ended(outcome=AttemptOutcome.COMPLETED)


def begin(traces: Traces):
    return traces.begin(ATTEMPT, domain(), REQUEST, timedelta(milliseconds=300))


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["idle", "borderline", "nonconverging", "postcopy"])
def test_a_recording_is_read_as_what_was_recorded(tmp_path, name):
    seen = list(samples(name, every=0.0))
    traces = Traces(tmp_path)
    trace = begin(traces)
    for t, each in seen:
        trace.sample(t, each, took=0.001, in_post_copy=False)
    trace.end(99, COMPLETED, None)
    traces.close()
    assert list(read(tmp_path / FILE)) == seen


def test_a_sample_has_the_keys_of_the_recordings_that_are_there(tmp_path):
    traces = Traces(tmp_path)
    begin(traces).sample(1.234, sample(), took=0.0015, in_post_copy=False)
    traces.close()
    theirs = rows(Path(__file__).parents[2] / "traces" / "borderline.jsonl")
    ours = rows(tmp_path / FILE)
    assert list(ours[1]) == list(next(row for row in theirs if row.get("it") == 2))
    assert (ours[1]["t"], ours[1]["ms"]) == (1.23, 1.5)
    assert set(theirs[0]) - set(ours[0]) == {"flags"}


def test_the_first_line_tells_with_what_it_was_started(tmp_path):
    traces = Traces(tmp_path)
    begin(traces)
    traces.close()
    first = rows(tmp_path / FILE)[0]
    assert (first["trace"], first["bandwidth_MiBps"], first["downtime_limit_ms"]) == (
        "default/m attempt 1",
        50,
        300,
    )
    assert first["guest"] == {"name": "db-1", "memory_MiB": 1024, "vcpus": 1}
    assert first["params"] == {"postCopyAllowed": True, "parallelConnections": 4, "bandwidth.postcopy": 40}


@pytest.mark.parametrize(
    ("end", "job", "last"),
    [
        (
            COMPLETED,
            CompletedJob(downtime=timedelta(milliseconds=33), transferred=7, elapsed=timedelta(seconds=13)),
            [
                {
                    "t": 14,
                    "ev": "job_completed",
                    "v": {
                        "operation": 5,
                        "time_elapsed": 13000,
                        "downtime": 33,
                        "memory_processed": 7,
                    },
                },
                {"t": 14, "result": "ok"},
            ],
        ),
        (COMPLETED, None, [{"t": 14, "result": "ok"}]),
        (
            Ended(outcome=AttemptOutcome.RESTARTED, error="restarted: x"),
            None,
            [{"t": 14, "result": ["Restarted", "restarted: x"]}],
        ),
    ],
)
def test_the_last_line_is_the_result(tmp_path, end, job, last):
    traces = Traces(tmp_path)
    begin(traces).end(14, end, job)
    traces.close()
    assert rows(tmp_path / FILE)[1:] == last


async def test_each_attempt_has_a_recording_of_its_own(setting, tmp_path):
    traces = Traces(tmp_path)
    it = setting(traces=traces)
    it.want(desired())
    await it.reports(lambda status: status.applied)
    it.want(desired(revision=2, attempt=2, max_downtime=timedelta(seconds=2)))
    await it.reports(lambda status: status.applied.attempt == 2)
    it.want(desired(revision=3, attempt=2, technique=MigrationTechnique.POST_COPY))
    await it.asks("start_post_copy")
    await it.looks()
    it.hypervisor.leave()
    await it.reports(outcome)
    traces.close()
    first, second = (rows(tmp_path / f"default_m_u_{number}.jsonl") for number in (1, 2))
    assert first[-1]["result"][0] == "Restarted"
    assert second[-1]["result"] == "ok"
    events = [(row["ev"], row["v"]) for row in second if "ev" in row]
    assert events[0] == ("maxDowntime", 2000)
    assert ("technique", "PostCopy") in events
    assert ("lifecycle", ["SUSPENDED", "POSTCOPY"]) in events
    assert len(list(read(tmp_path / "default_m_u_2.jsonl"))) == len([row for row in second if "op" in row])


async def test_a_recording_is_gone_on_with_by_the_next_process(setting, tmp_path):
    before = Traces(tmp_path)
    begin(before).sample(1, sample(), took=0, in_post_copy=False)
    before.close()
    traces = Traces(tmp_path)
    it = setting(
        before=VMMigrationStatus(attempts=[Attempt(number=1, start=NOW)], desired=desired()), traces=traces
    )
    it.hypervisor.run_job()
    await it.reports(lambda status: status.progress)
    it.hypervisor.leave()
    await it.reports(outcome)
    traces.close()
    seen = rows(tmp_path / FILE)
    assert [("trace" in row) for row in seen].count(True) == 1
    assert seen[1]["t"] == 1
    assert seen[-1]["result"] == "ok"


async def test_a_directory_that_can_t_be_written_to_disturbs_nothing_and_is_told_once(
    setting, tmp_path, caplog
):
    (tmp_path / "file").touch()
    traces = Traces(tmp_path / "file" / "below")
    it = setting(traces=traces)
    it.want(desired())
    await it.reports(lambda status: status.progress)
    it.want(desired(revision=2, attempt=2))
    await it.reports(lambda status: len(status.attempts) == 2 and status.progress)
    it.hypervisor.leave()
    assert outcome(await it.reports(outcome)) == AttemptOutcome.COMPLETED
    traces.close()
    told = [each for each in caplog.records if each.name == module.__name__]
    assert [each.levelno for each in told] == [logging.WARNING]


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    traces = Traces(tmp_path)
    trace = begin(traces)
    trace.sample(1, sample(), took=0, in_post_copy=False)
    traces.close()
    whole = (tmp_path / FILE).read_text()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
    traces = Traces(tmp_path)
    traces.resume(ATTEMPT, domain()).sample(2, sample(), took=0, in_post_copy=False)
    traces.close()
    assert (tmp_path / FILE).read_text() == whole


def test_a_disk_that_hangs_is_not_waited_for(tmp_path, monkeypatch, caplog):
    hangs = threading.Event()
    monkeypatch.setattr(module, "_append", lambda line: hangs.wait(30))
    monkeypatch.setattr(module, "_BACKLOG", 3)
    traces = Traces(tmp_path)
    trace = begin(traces)
    for second in range(10):
        trace.sample(second, sample(), took=0, in_post_copy=False)
    assert "too slow" in caplog.text
    hangs.set()
    traces.close()


def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    traces = Traces(None)
    begin(traces).sample(1, sample(), took=0, in_post_copy=False)
    traces.close()
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_makes_no_name_that_is_too_long_for_a_file():
    assert len(Recorded(namespace="n" * 63, name="m" * 253, uid="u" * 36, number=99).file_name) < 255
