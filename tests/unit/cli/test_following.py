"""Following migrations: what is told of lists, watches, their ends, and of an API server that goes away."""

import io
import json
from itertools import islice

import pytest

from kubectl_vmferry.cluster.following import Following
from kubectl_vmferry.failures import Failure, UnreachableFailure


def raw(name, version="1"):
    return {"metadata": {"name": name, "uid": name, "resourceVersion": version}}


def event(kind, obj):
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


class Stream(io.BytesIO):
    """A watch as urllib3 gives it, in chunks that know nothing of lines."""

    def stream(self, *, amt, decode_content):
        data = self.getvalue()
        return [data[place : place + 7] for place in range(0, len(data), 7)]


class Script:
    """A cluster that answers each list and each watch by the next of its script."""

    def __init__(self, *answers):
        self._answers = list(answers)

    def migration_list(self, **_):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"items": answer, "metadata": {"resourceVersion": "5"}}

    def watch_migrations(self, *, version, **_):
        assert version == "5"
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Stream(answer)


def seen(count, *answers, **more):
    waits = []
    following = Following(Script(*answers), sleep=waits.append, **more)
    return [
        (each.changed, each.removed and each.removed["metadata"]["name"], sorted(each.objects), each.lost)
        for each in islice(following, count)
    ], waits


def test_a_list_is_told_one_by_one_and_then_what_the_watch_tells():
    watch = event("ADDED", raw("b")) + event("MODIFIED", raw("a", "2")) + event("DELETED", raw("a", "3"))
    told, _ = seen(5, [raw("a")], watch)
    assert told == [
        ("a", None, ["a"], ""),
        (None, None, ["a"], ""),
        ("b", None, ["a", "b"], ""),
        ("a", None, ["a", "b"], ""),
        (None, "a", ["b"], ""),
    ]


def test_after_the_end_of_a_watch_only_what_differs_is_told():
    told, _ = seen(4, [raw("a"), raw("b")], b"", [raw("a"), raw("c")], b"")
    assert told[3] == (None, "b", ["a", "c"], "")
    again, _ = seen(4, [raw("a")], b"", [raw("a")], b"", [raw("a", "2")], b"")
    assert [each[0] for each in again] == ["a", None, None, "a"]


def test_a_version_that_is_too_old_is_asked_for_anew():
    stale = event("ERROR", {"code": 410, "message": "too old"})
    told, _ = seen(3, [raw("a")], stale, [raw("a")], b"")
    assert [each[3] for each in told] == ["", "", ""]


def test_an_error_that_is_another_one_ends_it():
    with pytest.raises(Failure, match="the watch ended: broken"):
        seen(9, [raw("a")], event("ERROR", {"code": 500, "message": "broken"}))


def test_an_api_server_that_goes_away_is_told_and_waited_for_with_patience():
    away = UnreachableFailure("away")
    told, waits = seen(6, [raw("a")], away, away, away, [raw("a", "2")], b"")
    assert [each[3] for each in told] == ["", "", "away", "away", "away", ""]
    assert told[2][2] == ["a"]
    assert waits == [0.5, 1.0, 2.0]


def test_an_api_server_that_was_never_there_is_an_error():
    with pytest.raises(UnreachableFailure, match="away"):
        seen(1, UnreachableFailure("away"))


def test_only_what_is_wanted_counts():
    told, _ = seen(
        2,
        [raw("a"), raw("b")],
        event("MODIFIED", raw("b", "2")),
        [],
        b"",
        wanted=lambda each: each["metadata"]["name"] == "a",
    )
    assert [each[2] for each in told] == [["a"], ["a"]]
