"""Kubeconfig files, one for each user of the lab's cluster."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from vmferry_lab.controlplane.certificates import KeyPair

NO_PROXY = ("NO_PROXY", "no_proxy")
"""The environment variables that list what is reached without a proxy; some programs read one, some the other."""
_CLUSTER = "vmferry-lab"


def write_kubeconfig(
    path: Path, *, server: str, authority: Path, user: str, credentials: KeyPair | str
) -> None:
    """Write a kubeconfig whose one context is this user at this server.

    Args:
        path: Where to; nobody else may read it.
        server: The API server's URL.
        authority: Who has signed the server's certificate.
        user: What the user is called in the file.
        credentials: The user's certificate, or a token.
    """
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": _CLUSTER, "cluster": {"server": server, "certificate-authority": str(authority)}}
        ],
        "users": [{"name": user, "user": _shown(credentials)}],
        "contexts": [{"name": _CLUSTER, "context": {"cluster": _CLUSTER, "user": user}}],
        "current-context": _CLUSTER,
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))


def _shown(credentials: KeyPair | str) -> dict[str, str]:
    if isinstance(credentials, str):
        return {"token": credentials}
    return {"client-certificate": str(credentials.certificate), "client-key": str(credentials.key)}


def client_environment(path: Path, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a client: its kubeconfig, and no proxy before the server, which none could reach."""
    config = yaml.safe_load(path.read_text())
    server = urlsplit(config["clusters"][0]["cluster"]["server"]).hostname
    found = {**given, "KUBECONFIG": str(path)}
    for name in NO_PROXY:
        others = [each for each in given.get(name, "").split(",") if each not in {"", server}]
        found[name] = ",".join([*others, str(server)])
    return found
