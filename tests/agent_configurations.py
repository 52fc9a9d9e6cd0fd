"""Configurations of an agent, for tests of what it finds by them."""

from vmferry_agent.configuration import Configuration
from vmferry_kube.logs import LogFormat


def configuration(uri: str = "qemu:///system", *, namespace: str = "vmferry-system") -> Configuration:
    """One whose daemon other hosts reach as the agent does."""
    return Configuration(
        node="node-a",
        libvirt_uri=uri,
        connect_uri=uri,
        migration_uri=None,
        tls_destination=None,
        measure_dirty_rate=True,
        namespace=namespace,
        health_address="127.0.0.1",
        health_port=None,
        record_traces=None,
        log_format=LogFormat.TEXT,
        verbose=False,
    )
