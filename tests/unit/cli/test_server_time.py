"""What time it is, by the API server's clock."""

from datetime import UTC, datetime, timedelta

import pytest
from kubernetes.client import ApiClient, Configuration

from kubectl_vmferry.cluster.connection import Connection
from kubectl_vmferry.cluster.objects import Cluster


@pytest.fixture
def answers(monkeypatch):
    """Clusters whose API server answers with these headers."""

    def with_headers(headers):
        cluster = Cluster(Connection(client=ApiClient(Configuration()), namespace="default"))
        monkeypatch.setattr(cluster._version, "get_code_with_http_info", lambda **_: (object(), 200, headers))
        return cluster

    return with_headers


def test_it_is_the_server_s_whatever_this_machine_thinks(answers):
    told = answers({"Date": "Mon, 30 Nov 2015 06:41:35 GMT"})
    assert told.now() == datetime(2015, 11, 30, 6, 41, 35, tzinfo=UTC)


@pytest.mark.parametrize("headers", [{}, {"Date": "soon"}])
def test_of_a_server_that_does_not_tell_it_is_this_machine_s(answers, headers):
    assert abs(answers(headers).now() - datetime.now(UTC)) < timedelta(minutes=1)
