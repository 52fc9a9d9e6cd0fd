"""The operator is configured by flags, environment and file alike."""

import pytest

from vmferry_operator.configuration import Configuration, options


@pytest.fixture
def configured(configuring):
    """What a command line, an environment and a file come to; or what is said against them."""
    return configuring(options, Configuration, "operator.yaml")


def test_nothing_must_be_given(configured):
    assert configured() == Configuration(
        namespace="vmferry-system",
        health_address="0.0.0.0",
        health_port=8081,
        log_format="text",
        verbose=False,
    )


def test_all_can_be_given_by_a_file_and_all_by_variables(configured):
    values = {
        "namespace": "elsewhere",
        "health-address": "::1",
        "health-port": "0",
        "log-format": "json",
        "verbose": "true",
    }
    by_file = configured(file="".join(f"{key}: {value}\n" for key, value in values.items()))
    variables = {f"VMFERRY_{key.replace('-', '_').upper()}": value for key, value in values.items()}
    assert by_file == configured(environment=variables)
    assert by_file == Configuration(
        namespace="elsewhere", health_address="::1", health_port=0, log_format="json", verbose=True
    )


def test_what_is_wrong_is_told_with_its_place(configured):
    said = " ".join(configured(file="node: a\n").split())
    assert (
        "operator.yaml: node: there is no such key; there are health-address, health-port, log-format, namespace"
        in said
    )
