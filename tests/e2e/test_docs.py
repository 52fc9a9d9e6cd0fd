"""What the pages tell to type works, in the order in which they tell it, and says what they show.

Which blocks are run here, and how a page says so: doc_pages/blocks.py.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doc_pages import ROOT, pages
from doc_pages.blocks import Place, blocks, commands, place_of
from doc_pages.shell import Shell
from doc_pages.shown import missing
from vmferry_lab.controlplane.kubeconfigs import client_environment
from vmferry_lab.fixtures import new_lab
from vmferry_lab.lab import Lab

TEXTS = {page: (ROOT / page).read_text() for page in pages()}
_HERE = "tests/e2e/test_docs.py"
PLACES = {page: place for page, text in TEXTS.items() if (place := place_of(text))}


@pytest.fixture(scope="module")
def lab_of_docs() -> Iterator[Lab]:
    """A lab of its own: what pages apply is for nobody else's migrations."""
    with new_lab() as lab:
        lab.up(say=lambda _: None)
        yield lab


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with all that a checkout has, in which files may be written, with this test's `.venv`."""
    directory = tmp_path / "vmferry"
    directory.mkdir()
    for each in ROOT.iterdir():
        if each.name not in {".venv", "dist"}:
            (directory / each.name).symlink_to(each)
    (directory / ".venv").symlink_to(sys.prefix)
    return directory


@pytest.mark.timeout(900)
def test_the_demo_shows_what_readme_md_tells_and_the_commands_that_it_ends_with_work(checkout, tmp_path):
    (shown,) = (each.text for each in blocks("README.md", TEXTS["README.md"]) if each.test == _HERE)
    notes, directory = tmp_path / "notes", tmp_path / "demo"
    notes.mkdir()
    with Shell(checkout, notes, _environment()) as shell:
        try:
            # it names files as one would type them from where it is run
            code, said = shell.run(f"(cd {ROOT} && vmferry-lab demo --keep --dir {directory})")
            assert code == 0, said
            assert missing([line for line in shown.splitlines() if line.strip()], said) is None, said
            for command in said.partition("What you would type next:\n")[2].splitlines():
                code, said = shell.run(command)
                assert code == 0, f"exit code {code} of {command}\n{said}"
            assert shell.run("vmferry-lab status")[0] != 0, "the last one takes the lab down"
        finally:
            shell.run(f"vmferry-lab --dir {directory} down")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", sorted(PLACES))
def test_the_commands_of_a_page_do_what_it_says(page, checkout, tmp_path, request):
    notes = tmp_path / "notes"
    notes.mkdir()
    environment = _environment()
    with new_lab() as empty:
        lab = request.getfixturevalue("lab_of_docs") if PLACES[page] is Place.LAB else empty
        if PLACES[page] is Place.LAB:
            environment = client_environment(lab.kubectl.kubeconfig, environment)
        environment["VMFERRY_LAB_DIR"] = str(lab.directory)
        with Shell(checkout, notes, environment) as shell:
            for block in (each for each in blocks(page, TEXTS[page]) if each.runs):
                for command in commands(block):
                    code, said = shell.run(command.text)
                    at = f"{page}:{command.line}: {command.text}\n{said}"
                    assert code == 0, f"exit code {code} of {at}"
                    assert missing(command.shown, said) is None, at


def _environment() -> dict[str, str]:
    """Of somebody who has this test's programs in PATH and no lab yet."""
    given = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "KUBECONFIG"}}
    return given | {"PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"}
