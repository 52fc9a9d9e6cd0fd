"""The API server takes every policy and every migration that a page shows as a whole."""

import pytest

from doc_pages.manifests import manifests


@pytest.mark.parametrize("shown", manifests(), ids=lambda each: f"{each.page}:{each.line}")
def test_the_api_server_takes_it(shown, refusals):
    assert refusals(shown.kind, shown.spec) == ""
