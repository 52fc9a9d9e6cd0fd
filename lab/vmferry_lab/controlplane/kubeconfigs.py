"""Kubeconfig files, one for each user of the lab's cluster."""

from pathlib import Path

import yaml

from vmferry_lab.controlplane.certificates import KeyPair

_CLUSTER = "vmferry-lab"


def write_kubeconfig(path: Path, *, server: str, authority: Path, user: str, credentials: KeyPair) -> None:
    """Write a kubeconfig whose one context is this user at this server."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": _CLUSTER, "cluster": {"server": server, "certificate-authority": str(authority)}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate": str(credentials.certificate),
                    "client-key": str(credentials.key),
                },
            }
        ],
        "contexts": [{"name": _CLUSTER, "context": {"cluster": _CLUSTER, "user": user}}],
        "current-context": _CLUSTER,
    }
    path.write_text(yaml.safe_dump(config))
