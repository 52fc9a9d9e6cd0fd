"""Fixtures of several areas' unit tests."""

import json
import socket

import pytest


@pytest.fixture
def hanging_api_server(tmp_path):
    """A server that accepts and says nothing, and the kubeconfig that leads to it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        kubeconfig = tmp_path / "kubeconfig"
        named = {"name": "it", "context": {"cluster": "it", "user": "it"}}
        server = f"http://127.0.0.1:{listening.getsockname()[1]}"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [named],
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": {"token": "t"}}],
        }
        kubeconfig.write_text(json.dumps(content))
        yield kubeconfig
