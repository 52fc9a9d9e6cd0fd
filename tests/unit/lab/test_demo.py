"""The demo leaves its lab up where it is asked to, and nothing behind otherwise, however it ends."""

from pathlib import Path

import pytest

from vmferry_lab.demo import run as demo
from vmferry_lab.errors import LabError


class RecordedLab:
    """What is done to a lab."""

    directory = Path("/somewhere")

    def __init__(self):
        self.done = []

    def up(self, *, say):
        self.done.append("up")
        say("it is up")

    def down(self):
        self.done.append("down")


@pytest.fixture
def lab(monkeypatch):
    """One whose guest migrates at once."""
    for step in ("_start_guest", "_migrate", "_prove"):
        monkeypatch.setattr(demo, step, lambda _lab: None)
    return RecordedLab()


def next_commands(said):
    return [line.split("#")[0].strip() for line in said.partition("you would type next:\n")[2].splitlines()]


@pytest.mark.parametrize(
    ("keep", "done", "says"),
    [
        (True, ["down", "up"], "The lab stays up. What you would type next:"),
        (False, ["down", "up", "down"], "s after the start. With KEEP=1 it stays, and you would type next:"),
    ],
)
def test_a_lab_is_left_up_only_where_it_is_to_be_kept_and_what_comes_next_is_told(
    lab, capsys, keep, done, says
):
    demo.run(lab, keep=keep)
    said = capsys.readouterr().out
    assert lab.done == done
    assert says in said
    assert next_commands(said)[0].startswith("eval ")
    assert next_commands(said)[-1] == "vmferry-lab down"


@pytest.mark.parametrize(("keep", "done"), [(True, ["down", "up"]), (False, ["down", "up", "down"])])
def test_of_a_demo_that_fails_the_lab_is_left_up_only_where_it_is_to_be_kept(lab, monkeypatch, keep, done):
    def lost(_lab):
        raise LabError("the guest did not arrive")

    monkeypatch.setattr(demo, "_prove", lost)
    with pytest.raises(LabError, match="did not arrive"):
        demo.run(lab, keep=keep)
    assert lab.done == done
