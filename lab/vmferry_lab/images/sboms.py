"""An image's bill of materials: the Debian and Python packages in it, as CycloneDX."""

import uuid
from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import Parser
from fnmatch import fnmatch

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from vmferry_lab.images.archives import ARTIFACTS, METADATA, PACKAGES, Image

_OURS = "vmferry"
_LONGEST_LICENSE = 60
"""Characters; what is longer in the field of that name is the whole text of a licence."""


def sbom(image: Image) -> str:
    """The bill as CycloneDX 1.6 in JSON: the same for the same image.

    Its own hash is the image's number, which engines and registries know as the digest of its configuration. A
    Python package's hash is that of the file that was installed from the index, as the lock demands it; what is
    vmferry's own has none, and its version is the image's.

    Raises:
        KeyError: The image is none of vmferry's: it lacks what tells what it is made of.
    """
    title = image.labels["org.opencontainers.image.title"]
    version = image.labels["org.opencontainers.image.version"]
    root = Component(
        type=ComponentType.CONTAINER,
        name=title,
        version=version,
        bom_ref=f"{title}@{version}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=image.number)],
        licenses=_licenses("Apache-2.0"),
        properties=[
            Property(name="vmferry:revision", value=image.labels["org.opencontainers.image.revision"])
        ],
    )
    components = [*_debian(image.texts[PACKAGES]), *_python(image)]
    named = "\n".join(
        sorted(f"{each.purl} {[str(one.content) for one in each.hashes]}" for each in components)
    )
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, f"{root.bom_ref}\n{image.number}\n{named}"),
        metadata=BomMetaData(component=root, timestamp=image.created),
    )
    bom.register_dependency(root, components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _debian(status: str) -> Iterator[Component]:
    for paragraph in status.strip().split("\n\n"):
        package = Parser().parsestr(paragraph, headersonly=True)
        if package["Status"] == "install ok installed":
            purl = PackageURL(
                "deb", "debian", package["Package"], package["Version"], {"arch": package["Architecture"]}
            )
            yield Component(
                name=package["Package"], version=package["Version"], purl=purl, bom_ref=purl.to_string()
            )


def _python(image: Image) -> Iterator[Component]:
    lines = [line.split() for line in image.texts[ARTIFACTS].splitlines()]
    artifacts = {file: digest for digest, file in lines}
    for path in sorted(image.texts):
        if not fnmatch(path, METADATA):
            continue
        package = Parser().parsestr(image.texts[path], headersonly=True)
        purl = PackageURL("pypi", name=_normal(package["Name"]), version=package["Version"])
        yield Component(
            name=package["Name"],
            version=package["Version"],
            purl=purl,
            bom_ref=purl.to_string(),
            licenses=_licenses(_license(package)),
            hashes=[
                HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in _hashes(package, artifacts)
            ],
        )


def _hashes(package: Message, artifacts: dict[str, str]) -> Iterable[str]:
    """Of what was installed with this package's name and version."""
    wanted = (_normal(package["Name"]), package["Version"])
    return [digest for file, digest in artifacts.items() if _named(file) == wanted]


def _named(file: str) -> tuple[str, str]:
    """Name and version in the name of a wheel or source archive."""
    name, _, rest = file.removesuffix(".tar.gz").partition("-")
    while rest and not rest[0].isdigit():  # older source archives have their names as they are
        more, _, rest = rest.partition("-")
        name = f"{name}-{more}"
    return _normal(name), rest.partition("-")[0]


def _normal(name: str) -> str:
    """A package's name as indexes compare it (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def _license(package: Message) -> str:
    said = package["License-Expression"] or package["License"] or ""
    return said if len(said) <= _LONGEST_LICENSE and "\n" not in said and said != "UNKNOWN" else ""


def _licenses(said: str) -> list[License]:
    return [LicenseFactory().make_from_string(said)] if said else []
