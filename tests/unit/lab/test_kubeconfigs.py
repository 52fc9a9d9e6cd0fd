"""What a client of the lab's API server is told."""

import pytest
import yaml

from vmferry_lab.controlplane.certificates import KeyPair
from vmferry_lab.controlplane.kubeconfigs import client_environment, write_kubeconfig


@pytest.fixture
def kubeconfig(tmp_path):
    pair = KeyPair(tmp_path / "crt", tmp_path / "key")
    path = tmp_path / "admin"
    write_kubeconfig(
        path, server="https://198.18.1.1:6443", authority=tmp_path / "ca", user="admin", credentials=pair
    )
    return path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "198.18.1.1"),
        ("localhost,.example.org", "localhost,.example.org,198.18.1.1"),
        ("198.18.1.1", "198.18.1.1"),
    ],
)
def test_no_proxy_stands_between_a_client_and_the_lab_s_api_server(kubeconfig, before, after):
    given = {} if before is None else {"NO_PROXY": before, "no_proxy": before}
    found = client_environment(kubeconfig, {"HTTPS_PROXY": "http://proxy.example.org:3128", **given})
    assert (found["NO_PROXY"], found["no_proxy"]) == (after, after)


def test_a_token_is_kept_from_others(tmp_path):
    path = tmp_path / "agent"
    write_kubeconfig(
        path, server="https://198.18.1.1", authority=tmp_path / "ca", user="agent", credentials="abc"
    )
    assert path.stat().st_mode & 0o077 == 0
    assert yaml.safe_load(path.read_text())["users"] == [{"name": "agent", "user": {"token": "abc"}}]


def test_a_client_keeps_the_rest_of_its_environment(kubeconfig):
    found = client_environment(kubeconfig, {"LANG": "C.UTF-8", "KUBECONFIG": "/another"})
    assert (found["LANG"], found["KUBECONFIG"]) == ("C.UTF-8", str(kubeconfig))
