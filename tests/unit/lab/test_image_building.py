"""Where builds leave their images."""

from pathlib import Path

from image_archives import FILES, write_image
from vmferry_lab.images import build
from vmferry_lab.images.archives import number


class Engine:
    """Keeps one image, and counts how often it is written out."""

    def __init__(self, directory, revision):
        self.image = write_image(directory / f"{revision}.tar", FILES, revision=revision)
        self.saved = 0

    def number(self, tag):
        return number(self.image)

    def save(self, tag, path):
        self.saved += 1
        path.write_bytes(self.image.read_bytes())


def test_an_image_is_written_out_once_until_it_is_another_one(tmp_path):
    archive = tmp_path / "out" / "vmferry-agent.tar"
    archive.parent.mkdir()
    old, new = Engine(tmp_path, "old"), Engine(tmp_path, "new")
    for engine in (old, old, new, new):
        build._save(engine, "vmferry-agent:0.2.0", archive)
        assert number(archive) == number(engine.image)
    assert (old.saved, new.saved) == (1, 1)
    assert list(archive.parent.iterdir()) == [archive]


def test_what_is_no_git_checkout_is_of_an_unknown_revision(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    assert build.source_of(tmp_path) == build.Source("1.2.3", "unknown", 0)


def test_the_labels_name_version_and_commit_in_the_text_that_layers_are_cached_by():
    dockerfile = (Path(__file__).parents[3] / "Dockerfile").read_text()
    stamped = build.stamped(dockerfile, build.Source("1.2.3", "abc", 0))
    assert stamped.count('org.opencontainers.image.version="1.2.3"') == len(build.TARGETS)
    assert stamped.count('org.opencontainers.image.revision="abc"') == len(build.TARGETS)
