"""What operator and agents ask of the API server, from its audit log."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from typing import Any, Self

import yaml

from vmferry_lab.controlplane.accounts import AGENT_ACCOUNT, NAMESPACE, OPERATOR_ACCOUNT

_PREFIX = f"system:serviceaccount:{NAMESPACE}:"
_ROLE = re.compile(r'of (?:Cluster)?Role "([^"]+)"')


def audit_policy() -> str:
    """What is logged: who asks for what, and the answer; of the service accounts only, without the objects."""
    users = [_PREFIX + account for account in (OPERATOR_ACCOUNT, AGENT_ACCOUNT)]
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": users}, {"level": "None"}],
    }
    return yaml.safe_dump(policy)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request of a service account."""

    account: str
    """Such as vmferry-agent."""
    verb: str
    group: str
    resource: str
    """With its subresource: `vmmigrations/status`. Empty: none was asked for, but a path such as /api."""
    namespace: str
    name: str
    code: int
    """The HTTP status of the answer."""
    role: str
    """The Role or ClusterRole that allows it; empty: none does."""

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Self:
        """Read a line of the log."""
        thing = entry.get("objectRef", {})
        parts = [thing[key] for key in ("resource", "subresource") if thing.get(key)]
        allowed = _ROLE.search(entry.get("annotations", {}).get("authorization.k8s.io/reason", ""))
        return cls(
            account=entry["user"]["username"].removeprefix(_PREFIX),
            verb=entry["verb"],
            group=thing.get("apiGroup", ""),
            resource="/".join(parts),
            namespace=thing.get("namespace", ""),
            name=thing.get("name", ""),
            code=entry.get("responseStatus", {}).get("code", 0),
            role=allowed.group(1) if allowed else "",
        )


def asked(log: Path) -> Iterator[Asked]:
    """All requests so far, the oldest first; a watch comes when it begins and when it ends."""
    for line in log.read_text().splitlines(keepends=True):
        if line.endswith("\n"):  # the last one may still be written
            yield Asked.read(json.loads(line))


def refused(log: Path, *, since: int = 0) -> Counter[Asked]:
    """What was asked for and no role gives, or was refused although one does; how often, without code and role.

    An API server that has just started does not know the roles yet: what it gives later, it refuses for a moment.

    Args:
        log: The audit log.
        since: So many requests are passed over, the oldest.
    """
    requests = [(replace(each, code=0, role=""), each) for each in islice(asked(log), since, None)]
    given = {request for request, each in requests if each.role and each.code != HTTPStatus.FORBIDDEN}
    return Counter(
        request
        for request, each in requests
        if each.code == HTTPStatus.FORBIDDEN and (each.role or request not in given)
    )
