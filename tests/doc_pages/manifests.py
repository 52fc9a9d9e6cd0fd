"""The whole objects that pages show as YAML."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from doc_pages import ROOT, pages
from github_markdown import parser

_KINDS = {"MigrationPolicy", "VMMigration"}
_MARK = "<!-- not to be applied: "
"""Before a block that only looks like an object; the reason follows."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An object of vmferry's on a page."""

    page: str
    line: int
    text: str
    kind: str
    spec: dict[str, Any]


def manifests() -> list[Manifest]:
    """All of them, from blocks of YAML that begin with an object; parts of objects are passed over."""
    return list(_manifests())


def _manifests() -> Iterator[Manifest]:
    for page in pages():
        before = ""
        for token in parser().parse((ROOT / page).read_text()):
            whole = token.type == "fence" and token.info.strip() == "yaml" and not before.startswith(_MARK)
            before = token.content if token.type == "html_block" else ""
            if whole and token.map:
                for document in _documents(token.content):
                    yield Manifest(
                        page=page,
                        line=token.map[0] + 1,
                        text=token.content,
                        kind=document["kind"],
                        spec=document["spec"],
                    )


def _documents(text: str) -> Iterator[dict[str, Any]]:
    if not text.startswith("apiVersion: vmferry.io/"):
        return
    for document in yaml.safe_load_all(text):
        if document["kind"] in _KINDS:
            yield document
