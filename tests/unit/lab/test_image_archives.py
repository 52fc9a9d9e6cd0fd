"""What an image is read to hold."""

import pytest

from image_archives import FILES, write_image
from vmferry_lab.images.archives import differences, number, read, unpack

REMOVED = {"a/keep": "1", "a/drop": "1", "b/x/y": "1", "c": "-> a/keep"}
LATER = {"a/.wh.drop": "", "b/x/.wh..wh..opq": "", "b/x/z": "2", "a/keep": "2"}


def test_a_later_layer_covers_and_removes_what_an_earlier_one_has(tmp_path):
    image = read(write_image(tmp_path / "i.tar", REMOVED, LATER))
    assert sorted(image.entries) == ["a/keep", "b/x/z", "c"]
    assert image.entries["c"].target == "a/keep"


def test_what_is_unpacked_is_what_is_read(tmp_path):
    archive = write_image(tmp_path / "i.tar", REMOVED, LATER)
    unpack(archive, tmp_path / "root")
    files = {
        str(each.relative_to(tmp_path / "root"))
        for each in (tmp_path / "root").rglob("*")
        if not each.is_dir()
    }
    assert files == {*read(archive).entries}
    assert (tmp_path / "root/c").read_text() == "2"


def test_what_the_image_says_of_itself_is_read(tmp_path):
    image = read(write_image(tmp_path / "i.tar", FILES))
    assert (image.user, image.entrypoint, image.environment) == (
        "65534:65534",
        ("vmferry-agent",),
        {"A": "b=c"},
    )
    assert image.labels["org.opencontainers.image.version"] == "0.2.0"
    assert set(image.texts) == set(FILES)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (REMOVED, []),
        (REMOVED | {"a/keep": "2"}, ["a/keep: content"]),
        (REMOVED | {"c": "-> a/drop"}, ["c: target"]),
        (REMOVED | {"d": ""}, ["d: only in the second"]),
        ({"a/keep": "1", "a/drop": "1", "b/x/y": "1"}, ["c: only in the first"]),
    ],
)
def test_two_images_are_compared_by_their_files(tmp_path, other, told):
    images = [read(write_image(tmp_path / f"{n}.tar", layer)) for n, layer in enumerate((REMOVED, other))]
    assert differences(*images) == told


def test_an_archive_is_known_by_the_digest_of_its_image_s_configuration(tmp_path):
    one = write_image(tmp_path / "one.tar", REMOVED)
    same = write_image(tmp_path / "same.tar", REMOVED)
    other = write_image(tmp_path / "other.tar", REMOVED, revision="def")
    assert number(one) == number(same) != number(other)
