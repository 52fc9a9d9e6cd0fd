"""What the audit log says was refused."""

import json

import pytest

from vmferry_lab.controlplane.audit import refused

ROLE = 'RBAC: allowed by ClusterRoleBinding "vmferry-agent" of ClusterRole "vmferry-agent" to ServiceAccount'
NO_ROLE_YET = 'RBAC: clusterrole.rbac.authorization.k8s.io "vmferry-agent" not found'


def entry(verb="watch", name="", code=200, reason=ROLE) -> str:
    return json.dumps(
        {
            "user": {"username": "system:serviceaccount:vmferry-system:vmferry-agent"},
            "verb": verb,
            "objectRef": {"resource": "vmmigrations", "apiGroup": "vmferry.io", "name": name},
            "responseStatus": {"code": code},
            "annotations": {"authorization.k8s.io/reason": reason},
        }
    )


@pytest.mark.parametrize(
    ("entries", "verbs"),
    [
        pytest.param([entry()], [], id="given"),
        pytest.param([entry("delete", code=403, reason="")], ["delete"], id="no role gives it"),
        pytest.param([entry(code=403, reason=NO_ROLE_YET), entry()], [], id="the role was not known yet"),
        pytest.param([entry(), entry(code=403, reason="")], [], id="the role was not known after a restart"),
        pytest.param([entry(), entry(code=403)], ["watch"], id="refused in spite of a role: by admission"),
        pytest.param(
            [entry("get", "a"), entry("get", "b", code=403, reason="")],
            ["get"],
            id="given for another object only",
        ),
        pytest.param([entry(code=404, reason="")], [], id="not there"),
    ],
)
def test_refused_is_what_no_role_gives_or_what_admission_refuses(tmp_path, entries, verbs):
    log = tmp_path / "audit.log"
    log.write_text("\n".join(entries) + "\n")
    assert [each.verb for each in refused(log).elements()] == verbs


def test_what_was_refused_before_is_passed_over(tmp_path):
    log = tmp_path / "audit.log"
    log.write_text("\n".join([entry("delete", code=403, reason=""), entry()]) + "\n")
    assert refused(log)
    assert not refused(log, since=1)
