"""What MkDocs calls while it builds the site."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from github_markdown import anchor, with_blank_lines
from repository import Repository

_repository = Repository(Path(__file__).parents[2])


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Let anchors be called as GitHub calls them, so that a link to one works in both places."""
    config.mdx_configs["toc"] = config.mdx_configs.get("toc", {}) | {"slugify": anchor}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to in the repository."""
    pages = [_repository.path_of(file.src_uri) for file in files.documentation_pages()]
    for place, what in _repository.outside(pages).items():
        source = {"abs_src_path": str(what)} if isinstance(what, Path) else {"content": what}
        files.append(File.generated(config, place, inclusion=InclusionLevel.NOT_IN_NAV, **source))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """A page as MkDocs wants it."""
    path = _repository.path_of(page.file.src_uri)
    return with_blank_lines(_repository.rewritten(markdown, path))
