"""How pip reaches its index here, for the pip inside a build: as secrets, so that no image has them."""

import os
from collections.abc import Mapping
from pathlib import Path

from vmferry_lab.images.commands import run

CERTIFICATES = "/run/secrets/ca.crt"
"""Where the build finds the certificates that this machine trusts."""
_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_DEBIANS_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


def write(directory: Path, pip: Path) -> dict[str, Path]:
    """The secrets of a build, by name, as files for the user alone.

    Args:
        directory: Where to write them.
        pip: The pip whose settings they are.
    """
    settings = read(run([pip, "config", "list"]))
    certificates = bundle(settings, os.environ)
    files = {"pip.conf": configuration(settings, certificates=certificates is not None)}
    files["ca.crt"] = certificates.read_text() if certificates else ""
    for name, text in files.items():
        (directory / name).touch(mode=0o600)
        (directory / name).write_text(text)
    return {name: directory / name for name in files}


def read(listed: str) -> dict[str, str]:
    """What `pip config list` tells, by option: the environment's word counts more than the files'."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.rpartition(".")
        if section in found:
            found[section][option.removeprefix("default-")] = value.strip("'")
    return found["global"] | found["install"] | found[":env:"]


def bundle(settings: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    """The certificates that pip trusts here; None: those that it brings."""
    named = [settings.get("cert"), *(environment.get(name) for name in _BUNDLES), _DEBIANS_BUNDLE]
    return next((Path(each) for each in named if each and Path(each).is_file()), None)


def configuration(settings: Mapping[str, str], *, certificates: bool) -> str:
    """pip.conf for the build: only how the index is reached."""
    lines = [f"{name} = {settings[name]}" for name in _SETTINGS if name in settings]
    if certificates:
        lines.append(f"cert = {CERTIFICATES}")
    return "\n".join(["[global]", *lines, ""])
