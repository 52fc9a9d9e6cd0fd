"""Fixtures of several areas' unit tests."""

import json
import socket

import click
import pytest
from click.testing import CliRunner


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


@pytest.fixture
def configuring(tmp_path):
    """Makes what reads a command line, an environment and a file into a configuration of a process."""

    def of(options, kind, file_name):
        def configure(*flags, environment=None, file=None):
            seen = []

            @click.command()
            @options
            def command(**words):
                seen.append(kind(**words))

            if file is not None:
                (tmp_path / file_name).write_text(file)
                flags = ("--config", str(tmp_path / file_name), *flags)
            result = CliRunner(env=environment).invoke(command, [*flags])
            return seen[0] if seen else result.output.replace(str(tmp_path) + "/", "")

        return configure

    return of
