"""The shell that runs the commands of pages is like the one of who reads them."""

import os

import pytest

from doc_pages.shell import Shell


@pytest.fixture
def shell(tmp_path):
    (notes := tmp_path / "notes").mkdir()
    (work := tmp_path / "work").mkdir()
    with Shell(work, notes, {**os.environ, "GIVEN": "given"}) as shell:
        yield shell


def test_what_a_command_leaves_is_there_for_the_next(shell):
    shell.run("export A=$GIVEN; mkdir d; cd d")
    assert shell.run('echo "$A" "${PWD##*/}"') == (0, "given d\n")


def test_errors_are_told_and_the_shell_lives_on(shell):
    assert shell.run("echo no >&2; false") == (1, "no\n")
    assert shell.run("nonsense-of-nobody")[0] == 127
    assert shell.run("true") == (0, "")


def test_a_command_may_take_lines(shell):
    assert shell.run("cat <<'EOF'\na $B\nEOF") == (0, "a $B\n")
    assert shell.run("echo a \\\n  b") == (0, "a b\n")


def test_what_goes_on_in_the_background_holds_up_nothing(shell):
    assert shell.run("sleep 600 & echo there") == (0, "there\n")
