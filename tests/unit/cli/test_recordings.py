"""What is read of recorded migrations, and what is said of those that can't be read."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_guests import MIB, TRACES, recording, trace

from kubectl_vmferry.simulation.jobs import JobEnd
from kubectl_vmferry.simulation.recording import RecordedJob, RecordingError, read_recording
from vmferry_agent.decisions.outcome import Ended
from vmferry_agent.hypervisor.port import CompletedJob, Domain, StartRequest
from vmferry_agent.migrations.traces import Recorded, Traces
from vmferry_api.migrations import AttemptOutcome, VMState
from vmferry_api.policies import StartOptions

SET_UP = '{"trace": "t", "downtime_limit_ms": 300}'
SAMPLE = '{"t":1,"op":5,"type":2,"el":1000,"proc":5,"rem":4096,"it":1,"zero":0,"norm":1}'


def read(*lines: str):
    return read_recording("t.jsonl", lines)


@pytest.mark.parametrize(
    ("name", "end", "post_copy"),
    [
        ("idle", JobEnd(time=4.045, moved=True, downtime=0.024), False),
        ("borderline", JobEnd(time=13.736, moved=True, downtime=0.033), False),
        ("postcopy", JobEnd(time=5.728, moved=True, downtime=0.004), True),
        (
            "nonconverging",
            JobEnd(
                time=60.13,
                moved=False,
                error="operation aborted: job 'migration out' canceled by client",
            ),
            False,
        ),
    ],
)
def test_a_recording_tells_the_guest_the_limit_and_the_end(name, end, post_copy):
    read = recording(name)
    assert read.end == end
    assert read.max_downtime == timedelta(milliseconds=300)
    assert read.memory == pytest.approx(128 * MIB, rel=0.01)
    assert any(moment.in_post_copy for moment in read.moments) == post_copy


def test_what_the_agent_records_can_be_read(tmp_path):
    traces = Traces(tmp_path)
    vm = Domain(
        name="db-1", uuid="u", state=VMState.RUNNING, reason="", memory=2**30, vcpus=2, persistent=True
    )
    request = StartRequest(
        connect_uri="b",
        migration_uri=None,
        bandwidth=50 * MIB,
        post_copy_bandwidth=None,
        post_copy=True,
        persistent=True,
        options=StartOptions(),
    )
    attempt = Recorded(namespace="default", name="m", uid="u", number=1)
    written = traces.begin(attempt, vm, request, timedelta(milliseconds=100))
    for moment in recording("borderline").moments:
        written.sample(moment.time, moment.sample, took=0.001, in_post_copy=False)
    written.set(3, "maxDowntime", timedelta(milliseconds=250))
    job = CompletedJob(downtime=timedelta(milliseconds=95), transferred=1, elapsed=timedelta(seconds=12))
    written.end(13, Ended(outcome=AttemptOutcome.COMPLETED), job)
    traces.close()
    text = (tmp_path / attempt.file_name).read_text()
    found = read_recording(attempt.file_name, text.splitlines())
    assert (found.memory, found.max_downtime) == (2**30, timedelta(milliseconds=250))
    assert found.end == JobEnd(time=12, moved=True, downtime=0.095)
    assert [each.sample for each in found.moments] == [
        each.sample for each in recording("borderline").moments
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "t.jsonl: the first line must tell the set-up (docs/simulation.md)"),
        (["", "  "], "t.jsonl: the first line must tell the set-up (docs/simulation.md)"),
        ([SAMPLE], "t.jsonl: the first line must tell the set-up (docs/simulation.md)"),
        (["nonsense"], "t.jsonl, line 1: not JSON: Expecting value: line 1 column 1 (char 0)"),
        ([SET_UP, "{", SAMPLE], "t.jsonl, line 2: not JSON"),
        ([SET_UP, "[" * 100_000, SAMPLE], "t.jsonl, line 2: not JSON"),
        ([SET_UP, "[]"], "t.jsonl, line 2: must be a JSON object"),
        ([SET_UP, "{}"], "t.jsonl, line 2: t: Field required"),
        ([SET_UP, '{"t":NaN}'], "t.jsonl, line 2: t: Input should be a finite number"),
        ([SET_UP, '{"t":-1}'], "t.jsonl, line 2: t: Input should be greater than or equal to 0"),
        ([SET_UP], "t.jsonl: no line shows a running migration (op 5, type 2)"),
        ([SET_UP, '{"t":1,"op":5,"type":2}'], "t.jsonl, line 2: el: Field required"),
        (
            [SET_UP, "", SAMPLE.replace('"op":5', '"op":"x"')],
            "t.jsonl, line 3: op: Input should be a valid int",
        ),
        ([SET_UP, SAMPLE.replace("1000", "1e99")], "t.jsonl, line 2: el: "),
        ([SET_UP, SAMPLE.replace("4096", "-1")], "t.jsonl, line 2: rem: "),
        ([SET_UP, SAMPLE.replace("4096", "0").replace('"norm":1', '"norm":0')], "memory can't be told"),
        (['{"downtime_limit_ms": "soon"}', SAMPLE], "t.jsonl, line 1: downtime_limit_ms: "),
        (['{"guest": {"memory_MiB": 0}}', SAMPLE], "t.jsonl, line 1: guest.memory_MiB: "),
        ([SET_UP, SAMPLE, '{"t":2,"ev":"job_completed","v":null}'], "t.jsonl, line 3: it: "),
        ([SET_UP, SAMPLE, '{"t":2,"ev":"job_completed","v":{}}'], "t.jsonl, line 3: time_elapsed: Field"),
        ([SET_UP, SAMPLE, '{"t":2,"ev":"maxDowntime","v":1e300}'], "t.jsonl, line 3: downtime_limit_ms: "),
    ],
)
def test_a_malformed_recording_is_refused_with_its_line(lines, message):
    with pytest.raises(RecordingError) as refused:
        read(*lines)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("last", "end"),
    [
        ([], JobEnd(time=1, moved=False, error="the recording breaks off")),
        (['{"t":2,"op":5,"ty'], JobEnd(time=1, moved=False, error="the recording breaks off")),
        (['{"t":2,"result":"ok"}'], JobEnd(time=1, moved=True)),
        (['{"t":2,"result":["Aborted","why"]}'], JobEnd(time=1, moved=False, error="why")),
        (['{"t":2,"result":[]}'], JobEnd(time=1, moved=False, error="the recording breaks off")),
    ],
)
def test_a_recording_that_a_crash_cut_short_ends_with_its_last_sample(last, end):
    assert read(SET_UP, SAMPLE, *last).end == end


def test_samples_of_an_agent_whose_clock_was_set_back_are_put_in_order():
    later = SAMPLE.replace('"t":1', '"t":3')
    assert [each.time for each in read(SET_UP, later, SAMPLE).moments] == [1, 3]


@given(cut=st.integers(0, 60_000), name=st.sampled_from(TRACES))
def test_a_recording_cut_anywhere_is_read_or_refused(cut, name):
    try:
        found = read_recording(name, trace(name).read_text()[:cut].splitlines())
    except RecordingError:
        return
    assert found.moments


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
keys = st.sampled_from(["t", "op", "type", "el", "dt", "proc", "rem", "bps", "dr", "it", "ev", "v", "result"])


@given(st.lists(st.dictionaries(keys, values), max_size=3))
def test_whatever_stands_in_the_lines_it_is_read_or_refused(rows):
    try:
        found = read(SET_UP, *(json.dumps({**json.loads(SAMPLE), **row}) for row in rows))
    except RecordingError:
        return
    job = RecordedJob(found)
    job.run_until(10.0)
    assert job.sample() in [each.sample for each in found.moments]
