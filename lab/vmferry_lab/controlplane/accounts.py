"""Tokens of vmferry's service accounts, bound to Pods as the kubelet's are."""

import json
from typing import Any

from vmferry_lab.kubectl import Kubectl

NAMESPACE = "vmferry-system"
OPERATOR_ACCOUNT = "vmferry-operator"
AGENT_ACCOUNT = "vmferry-agent"
_LIFETIME = "8760h"
"""As the lab's certificates. The kubelet's tokens hold for an hour and are renewed; nobody renews these."""


def bound_token(kubectl: Kubectl, account: str, *, pod: str, node: str | None = None) -> str:
    """A token of an account that holds for as long as its Pod is there, which is made if it is missing.

    No kubelet runs the Pod: it is there so that the API server says in whose name the token's bearer speaks.

    Args:
        kubectl: The administrator's.
        account: The service account.
        pod: The Pod's name.
        node: Where it is bound to; None: nowhere yet.

    Raises:
        KubectlError: Refused.
    """
    applied = kubectl.run("apply", "-f", "-", "-o", "json", stdin=json.dumps(_pod(account, pod, node)))
    uid = json.loads(applied)["metadata"]["uid"]
    bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}", f"--bound-object-uid={uid}")
    return kubectl.run("create", "token", account, "-n", NAMESPACE, f"--duration={_LIFETIME}", *bound).strip()


def _pod(account: str, name: str, node: str | None) -> dict[str, Any]:
    """A Pod that may be in any namespace, however restricted."""
    container = {
        "name": "none",
        "image": "none.invalid/none",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,  # no kubelet would say that it has ended
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec if node is None else {**spec, "nodeName": node},
    }
