"""The site that `make docs` builds: complete, the same as on GitHub, and readable without a network."""

import re
import subprocess
import sys
from collections import Counter

import pytest

from doc_pages import ROOT, pages
from github_markdown import parser, with_blank_lines

IN_SITE = [page.removeprefix("docs/") for page in pages() if page.startswith("docs/")]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", directory]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return directory


def _html(site, page) -> str:
    return (site / page).with_suffix(".html").read_text()


def _main(html: str) -> str:
    """What is the page's own."""
    return html.partition('itemprop="articleBody">')[2].partition("<footer>")[0]


def _parts(html: str) -> Counter[str]:
    return Counter(re.findall(r"<(table|ul|ol|li|pre|h[1-6]|img)\b", html))


@pytest.mark.parametrize("page", IN_SITE)
def test_a_page_has_the_parts_that_github_shows(site, page):
    as_on_github = parser().render((ROOT / "docs" / page).read_text())
    assert _parts(_main(_html(site, page))) == _parts(as_on_github)


@pytest.mark.parametrize("page", IN_SITE)
def test_a_page_loads_nothing_from_elsewhere(site, page):
    loaded = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"([^\"]+)\"", _html(site, page))
    assert loaded
    assert [each for each in loaded if "//" in each] == []


def test_what_pages_link_to_in_the_repository_comes_along(site):
    policy = "manifests/policies/balanced.yaml"
    assert (site / "repository" / policy).read_text() == (ROOT / policy).read_text()
    assert "balanced.yaml" in (site / "repository" / "manifests" / "policies" / "index.html").read_text()
    assert 'href="repository/manifests/policies/index.html"' in _html(site, "policies.md")


def test_blank_lines_go_before_blocks_and_nowhere_else():
    text = "a\n- b\n  c\n- d\n\n```\n# e\n- f\n```\ng\n| h |\n|---|\n| i |\n"
    assert with_blank_lines(text) == ("a\n\n- b\n  c\n- d\n\n```\n# e\n- f\n```\ng\n\n| h |\n|---|\n| i |\n")
