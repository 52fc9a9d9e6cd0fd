"""Showing migrations without a terminal until they are over."""

import json

import click
import pytest
from click.testing import CliRunner
from migrations_shown import RUNNING, condition

from kubectl_vmferry.cluster.following import Seen
from kubectl_vmferry.commands import migrate
from kubectl_vmferry.commands.following import exit_code, follow
from kubectl_vmferry.failures import Failure
from kubectl_vmferry.main import main


class Cluster:
    """Its policies may not be read."""

    def policies(self):
        raise Failure("forbidden")


def raw(name, **status):
    return {
        "apiVersion": "vmferry.io/v1alpha1",
        "kind": "VMMigration",
        "metadata": {"name": name, "namespace": "default", "uid": name, "managedFields": []},
        "spec": {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"},
        "status": {**RUNNING, **status},
    }


GOES = raw("m")
DONE = raw("m", phase="Succeeded", conditions=[condition("Complete", message="it runs on node-b")])


def shown(capsys, *several, until_over=True, output=None):
    ended = follow(Cluster(), several, until_over=until_over, output=output)
    lines = capsys.readouterr()
    return ended, [line[10:] for line in lines.out.splitlines()], lines.err


def test_it_ends_with_the_end_of_the_last_one(capsys):
    seen = [Seen(objects={"m": GOES}, changed="m"), Seen(objects={"m": DONE}, changed="m"), Seen(objects={})]
    ended, lines, _ = shown(capsys, *seen)
    assert lines[0] == "default/m  Running: db-1 is moving to node-b"
    assert lines[-1] == "default/m  Succeeded: it runs on node-b"
    assert exit_code(ended) == 0


def test_one_that_is_deleted_is_told_and_is_no_success(capsys):
    seen = [Seen(objects={"m": GOES}, changed="m"), Seen(objects={}, removed=GOES)]
    ended, lines, _ = shown(capsys, *seen)
    assert lines[-1] == "default/m  deleted"
    assert exit_code(ended) == 1


def test_one_that_is_gone_before_the_first_look_does_not_keep_it_waiting(capsys):
    ended, lines, _ = shown(capsys, Seen(objects={}), Seen(objects={"m": GOES}, changed="m"))
    assert (ended, lines) == ([], [])
    assert exit_code(ended) == 1


def test_an_api_server_that_is_away_is_told_once_and_that_it_is_back(capsys):
    away = Seen(objects={"m": GOES}, lost="it is away")
    _, lines, _ = shown(capsys, Seen(objects={"m": GOES}), away, away, Seen(objects={"m": GOES}))
    assert lines == ["it is away; trying again", "the API server is back"]


def test_as_json_there_is_an_object_a_line_and_what_is_for_people_goes_to_standard_error(capsys):
    away = Seen(objects={"m": GOES}, lost="it is away")
    follow(Cluster(), [Seen(objects={"m": GOES}, changed="m"), away], until_over=False, output="json")
    said = capsys.readouterr()
    (line,) = said.out.splitlines()
    assert json.loads(line)["metadata"] == {"name": "m", "namespace": "default", "uid": "m"}
    assert "it is away; trying again" in said.err


def test_ctrl_c_says_how_to_look_again_and_how_to_end_it(capsys):
    def interrupted():
        yield Seen(objects={"m": GOES}, changed="m")
        raise KeyboardInterrupt

    with pytest.raises(click.exceptions.Exit) as left:
        follow(Cluster(), interrupted(), until_over=True)
    assert left.value.exit_code == 130
    said = capsys.readouterr().err
    assert "default/m goes on without this command" in said
    assert "kubectl vmferry cancel -n default m" in said


def test_ctrl_c_before_anything_was_seen_says_that_migrations_go_on(capsys):
    def interrupted():
        raise KeyboardInterrupt
        yield

    with pytest.raises(click.exceptions.Exit) as left:
        follow(Cluster(), interrupted(), until_over=True)
    assert left.value.exit_code == 130
    assert "migrations that run go on" in capsys.readouterr().err


class Asked(Cluster):
    """Takes a migration that is asked for."""

    def nodes(self):
        return ["node-a", "node-b"]

    def create_migration(self, body, **_):
        return GOES

    def migrations(self, **_):
        return [GOES]


@pytest.mark.parametrize("last", [Seen(objects={"m": DONE}, changed="m"), Seen(objects={}, removed=DONE)])
def test_who_waits_for_json_gets_the_object_once_as_it_is_at_the_end(monkeypatch, last):
    monkeypatch.setattr(migrate, "connect", lambda _: None)
    monkeypatch.setattr(migrate, "Cluster", lambda _: Asked())
    monkeypatch.setattr(migrate, "Following", lambda *_, **__: [Seen(objects={"m": GOES}, changed="m"), last])
    words = ["migrate", "db-1", "--from", "node-a", "--to", "node-b", "--wait", "-o", "json"]
    done = CliRunner().invoke(main, words)
    assert json.loads(done.stdout)["status"]["phase"] == "Succeeded"
    assert "default/m  Running: db-1 is moving to node-b" in done.stderr
    assert "warning: default/m (Running) migrates db-1 from node-a to node-b already" in done.stderr
    assert done.exit_code == 0
