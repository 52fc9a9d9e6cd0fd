"""The bill of materials of an image."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from image_archives import FILES, write_image
from vmferry_lab.images.archives import number, read
from vmferry_lab.images.sboms import sbom


@pytest.fixture
def bill(tmp_path):
    return sbom(read(write_image(tmp_path / "i.tar", FILES)))


def test_it_is_as_the_schema_demands(bill):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None


def test_it_lists_what_is_installed_with_what_was_downloaded_for_it(bill):
    components = {each["purl"]: each for each in json.loads(bill)["components"]}
    assert set(components) == {
        "pkg:deb/debian/base-files@13.8?arch=amd64",
        "pkg:pypi/kopf@1.45.2",
        "pkg:pypi/libvirt-python@12.8.0",
        "pkg:pypi/vmferry@0.2.0",
    }
    hashes = {purl: [one["content"] for one in each.get("hashes", [])] for purl, each in components.items()}
    assert hashes["pkg:pypi/kopf@1.45.2"] == ["a" * 64]
    assert hashes["pkg:pypi/libvirt-python@12.8.0"] == ["b" * 64]
    assert hashes["pkg:pypi/vmferry@0.2.0"] == []
    assert components["pkg:pypi/libvirt-python@12.8.0"]["licenses"] == [
        {"license": {"id": "LGPL-2.1-or-later"}}
    ]


def test_it_names_the_image_and_the_commit(bill, tmp_path):
    described = json.loads(bill)["metadata"]
    assert described["component"]["hashes"] == [{"alg": "SHA-256", "content": number(tmp_path / "i.tar")}]
    assert (described["component"]["name"], described["component"]["version"]) == ("vmferry-agent", "0.2.0")
    assert described["component"]["properties"] == [{"name": "vmferry:revision", "value": "abc"}]
    assert described["timestamp"] == "2026-11-30T05:29:51+00:00"


def test_the_same_image_has_the_same_bill_and_another_one_another_number(tmp_path, bill):
    assert sbom(read(write_image(tmp_path / "again.tar", FILES))) == bill
    newer = {**FILES, "var/lib/dpkg/status": FILES["var/lib/dpkg/status"].replace("13.8", "13.9")}
    other = sbom(read(write_image(tmp_path / "other.tar", newer)))
    assert json.loads(other)["serialNumber"] != json.loads(bill)["serialNumber"]
    rebuilt = sbom(read(write_image(tmp_path / "rebuilt.tar", FILES, user="0:0")))
    assert json.loads(rebuilt)["serialNumber"] != json.loads(bill)["serialNumber"]
