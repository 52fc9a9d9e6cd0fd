"""Each block of commands that a page shows is run by a test, or says why not."""

import pytest

from doc_pages import ROOT, pages
from doc_pages.blocks import Block, Command, Place, blocks, commands, place_of
from doc_pages.shown import missing

TEXTS = {page: (ROOT / page).read_text() for page in pages()}
BLOCKS = [block for page, text in TEXTS.items() for block in blocks(page, text)]


@pytest.mark.parametrize("page", pages())
def test_each_block_is_run_or_says_why_not(page):
    """See doc_pages/blocks.py for how to say it."""
    unsaid = [
        each.line for each in BLOCKS if each.page == page and each.runs and place_of(TEXTS[page]) is None
    ]
    assert unsaid == [], f"{page}: say how the commands in these lines are known to work"


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if place_of(text)])
def test_a_page_that_is_run_has_commands(page):
    assert [block for block in BLOCKS if block.page == page and block.runs]


@pytest.mark.parametrize(
    "block", [each for each in BLOCKS if each.test], ids=lambda each: f"{each.page}:{each.line}"
)
def test_a_test_that_is_said_to_run_a_block_is_there_and_reads_its_page(block):
    assert block.page.rpartition("/")[2] in (ROOT / block.test).read_text()


def test_blocks_are_found_fenced_and_indented_and_pictures_are_none():
    text = (
        "<!-- run in a lab -->\n```console\n$ a\n```\n<!-- not run: b -->\n```sh\nb\n```\n\n"
        "    kubectl get x\n\n    a ──► b\n\n<!-- run by tests/x.py -->\n\n    make x\n\n"
        "```yaml\nkubectl: x\n```\n```\nsaid\n```\n```\n  $ c\n```\n"
    )
    assert place_of(text) is Place.LAB
    assert [(each.line, each.why_not, each.test) for each in blocks("p", text)] == [
        (2, None, None),
        (6, "b", None),
        (10, None, None),
        (16, None, "tests/x.py"),
        (24, None, None),
    ]


def test_a_block_is_split_into_commands_and_what_they_say():
    text = "$ one \\\n  more\nsaid\n\n$ two <<'EOF'\na\nEOF\nsaid\nagain\n$ three\n"
    assert list(commands(Block(page="p", line=10, text=text))) == [
        Command(line=11, text="one \\\n  more", shown=("said",)),
        Command(line=15, text="two <<'EOF'\na\nEOF", shown=("said", "again")),
        Command(line=20, text="three"),
    ]


def test_without_a_prompt_a_block_is_one_command():
    assert [each.text for each in commands(Block(page="p", line=1, text="a\nb\n"))] == ["a\nb\n"]


@pytest.mark.parametrize(
    ("shown", "said", "lacks"),
    [
        (["a 1.5s 20 %"], "a   980ms 100 %", None),
        (["64Mi in 1m3.1s"], "1.2Gi in 4s", None),
        (["until 2027-11-30"], "until 2028-02-01", None),
        (["  +12 s  ended"], "  +1 m 2 s  ended", None),
        (["at 50 MiB/s"], "at 812 B/s", None),
        (["a", "c"], "a\nb\nc", None),
        (["c", "a"], "a\nb\nc", "a"),
        (["a", "…", "c"], "a\nb\nc", None),
        (["a … d"], "a b c d", None),
        (["a … d …"], "a d", None),
        (["db-1"], "db-2", "db-1"),
        (["v1 ─── x"], "v1 ───────── x", None),
        (["Succeeded"], "Failed", "Succeeded"),
    ],
)
def test_what_is_shown_must_be_said_whatever_the_figures(shown, said, lacks):
    assert missing(shown, said) == lacks
