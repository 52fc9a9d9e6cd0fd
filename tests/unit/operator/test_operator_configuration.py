"""The operator is configured by flags, environment and file alike."""

from datetime import timedelta

import pytest

from vmferry_operator.configuration import Configuration, options


@pytest.fixture
def configured(configuring):
    """What a command line, an environment and a file come to; or what is said against them."""
    return configuring(options, Configuration, "operator.yaml")


def test_nothing_must_be_given(configured):
    assert configured() == Configuration(
        namespace="vmferry-system",
        leader_elect=True,
        leader_elect_lease_duration=timedelta(seconds=10),
        leader_elect_renew_deadline=timedelta(seconds=7),
        leader_elect_retry_period=timedelta(seconds=1),
        health_address="0.0.0.0",
        health_port=8081,
        log_format="text",
        verbose=False,
    )


def test_all_can_be_given_by_a_file_and_all_by_variables(configured):
    values = {
        "namespace": "elsewhere",
        "leader-elect": "false",
        "leader-elect-lease-duration": "1m",
        "leader-elect-renew-deadline": "30s",
        "leader-elect-retry-period": "500ms",
        "health-address": "::1",
        "health-port": "0",
        "log-format": "json",
        "verbose": "true",
    }
    by_file = configured(file="".join(f"{key}: {value}\n" for key, value in values.items()))
    variables = {f"VMFERRY_{key.replace('-', '_').upper()}": value for key, value in values.items()}
    assert by_file == configured(environment=variables)
    assert by_file == Configuration(
        namespace="elsewhere",
        leader_elect=False,
        leader_elect_lease_duration=timedelta(minutes=1),
        leader_elect_renew_deadline=timedelta(seconds=30),
        leader_elect_retry_period=timedelta(seconds=0.5),
        health_address="::1",
        health_port=0,
        log_format="json",
        verbose=True,
    )


def test_what_is_wrong_is_told_with_its_place(configured):
    said = " ".join(configured(file="node: a\n").split())
    assert (
        "operator.yaml: node: there is no such key; there are health-address, health-port, leader-elect, "
        in said
    )


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--leader-elect-lease-duration", "soon"), "'soon' is not a duration such as 150ms"),
        (("--leader-elect-lease-duration", "1.5s"), "must be of whole seconds"),
        (
            ("--leader-elect-renew-deadline", "10s"),
            "the renew deadline must be shorter than the lease duration",
        ),
        (("--leader-elect-retry-period", "6s"), "the renew deadline must be longer than 1.2 retry periods"),
    ],
)
def test_times_of_the_election_that_make_no_sense_are_refused(configured, flags, says):
    assert says in " ".join(configured(*flags).split())
