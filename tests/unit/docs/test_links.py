"""No link of a page leads nowhere: neither to a page, nor to a heading, nor to a file of the repository."""

import pytest

from doc_pages import ROOT, links, pages


@pytest.mark.parametrize("page", pages())
def test_each_link_leads_to_something_that_is_there(page):
    assert list(links.dead_links(page)) == []


def test_dead_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "other.md").write_text("# A `b` c: d\n\n# Twice\n\n# Twice\n")
    (tmp_path / "docs" / "page.md").write_text(
        "[1](../other.md) [2](../other.md#a-b-c-d) [3](gone.md) [4](../other.md#gone) [5](#here) [6](../../x)\n"
        "[7](../other.md#twice-1) [8](../other.md#twice-2) ![9](gone.svg) [10](https://example.org/)\n# Here\n"
    )
    dead = [each.split(":")[0] for each in links.dead_links("docs/page.md")]
    assert dead == ["gone.md", "../other.md#gone", "../../x", "../other.md#twice-2", "gone.svg"]


def test_pages_are_those_at_the_top_and_all_below_docs():
    assert {"README.md", "CONTRIBUTING.md", "docs/index.md"} <= set(pages())
    assert all((ROOT / page).is_file() for page in pages())
