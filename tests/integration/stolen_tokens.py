"""What whoever holds a token may try, as data; tried by test_stolen_tokens.py, told by docs/security.md."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vmferry_api import API_VERSION
from vmferry_api.owners import OPERATOR, SOURCE_AGENT, TARGET_AGENT

MIGRATION = "mine"
"""From node-a to node-b, under way: revision 2, phase Running."""
FOREIGN = "foreign"
"""From node-c to node-d."""
OVER = "over"
"""From node-a to node-b; it has failed."""
MIGRATIONS = "/apis/vmferry.io/v1alpha1/namespaces/default/vmmigrations"
POLICIES = "/apis/vmferry.io/v1alpha1/migrationpolicies"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/vmferry-system/leases"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
TIME = "2026-01-01T00:00:00Z"
DESIRED = {
    "revision": 2,
    "state": "Migrate",
    "attempt": 1,
    "technique": "PreCopy",
    "stallingLimit": "10s",
    "progressTimeout": "150s",
}


def condition(type_: str, status: str = "True") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": "Test", "message": "", "lastTransitionTime": TIME}


ATTEMPT = {"number": 1, "start": TIME}
REPORTED = {"attempts": [ATTEMPT], "conditions": [condition("Running")]}
"""What the source's agent has written."""
DECIDED = {
    "observedGeneration": 1,
    "phase": "Running",
    "desired": DESIRED,
    "waitingSince": TIME,
    "conditions": [condition("Accepted"), condition("Reconciling")],
}
"""What the operator has written."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """One request, and what becomes of it."""

    holder: str
    """Whose token; a key of the test's kubeconfigs."""
    what: str
    """For people."""
    method: str
    path: str
    body: Any = None
    content: str = "application/json"
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    refused: str | None = None
    """The API server's message, or the end of it that matters; None: it is let through."""
    means: str = ""
    """Of what is let through: what follows from it."""


def applied(
    holder: str, what: str, status: dict[str, Any], *, by: str, to: str = MIGRATION, **rest: Any
) -> Try:
    """A status, by server-side apply with force."""
    body = {"apiVersion": API_VERSION, "kind": "VMMigration", "metadata": {"name": to}, "status": status}
    query = {"fieldManager": by, "force": "true"}
    path = f"{MIGRATIONS}/{to}/status"
    return Try(
        holder=holder, what=what, method="PATCH", path=path, body=body, content=APPLY, query=query, **rest
    )


def merged(holder: str, what: str, path: str, body: Any, *, by: str = "", **rest: Any) -> Try:
    """A merge patch."""
    query = {"fieldManager": by} if by else {}
    return Try(
        holder=holder, what=what, method="PATCH", path=path, body=body, content=MERGE, query=query, **rest
    )


def lease(
    holder: str,
    what: str,
    name: str,
    *,
    held_by: str,
    lasts: int = 40,
    finalizers: Sequence[str] = (),
    **rest: Any,
) -> Try:
    """A new Lease."""
    metadata = {"generateName": name} if name.endswith("-") else {"name": name}
    body = {
        "metadata": {**metadata, "finalizers": list(finalizers)},
        "spec": {"holderIdentity": held_by, "leaseDurationSeconds": lasts},
    }
    return Try(holder=holder, what=what, method="POST", path=LEASES, body=body, **rest)


def token_of(holder: str, what: str, account: str, *, resource: str, **rest: Any) -> Try:
    """A TokenRequest."""
    path = f"/api/v1/namespaces/vmferry-system/serviceaccounts/{account}/token"
    rbac = f'cannot create resource "{resource}" in API group "" in the namespace "vmferry-system"'
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return Try(holder=holder, what=what, method="POST", path=path, body=body, refused=rbac, **rest)


SOURCE = "the agent of node-a"
TARGET = "the agent of node-b"
OTHER = "the agent of node-e"
UNBOUND = "an agent's account, bound to no node"
OPERATOR_TOKEN = "the operator"
EDITOR = "an editor of a namespace"
ADMINISTRATOR = "a cluster administrator"

FROM = (
    "the agent of node node-a may write of this status only source, applied, progress, recovery, attempts, "
    "conditions; not "
)
ONLY_CONDITIONS = (
    "the agent of node node-a may write only the conditions Running, MigrationStalling, "
    "PostCopyInterrupted; not "
)
OPERATOR_MAY = (
    "the operator may write of this status only observedGeneration, phase, reason, policy, desired, forecast, "
    "queue, waitingSince, steps, conditions; not "
)
OPERATOR_CONDITIONS = (
    "the operator may write only the conditions Accepted, TargetReady, Complete, Failed, Reconciling, "
    "Stalled; not "
)
TAKE_OVER = (
    "the agent of node node-a may not take over the fields of others by server-side apply, though it leaves their "
    "values as they are; only source, applied, progress, recovery, attempts, conditions"
)
AS_MANAGER = (
    "the agent of node node-a must write this status as the field manager vmferry-source-agent, not as curl"
)
NO_PART = (
    "the agent of node {} may not write to a migration from {} to {}: only the agents of these two nodes may"
)
NOT_BOUND = (
    "the agent's token is bound to no node (no authentication.kubernetes.io/node-name): use the one that the "
    "kubelet mounts into the agent's Pod or, where none runs, `kubectl create token vmferry-agent "
    "--bound-object-kind Node`"
)
NOT_THE_WRITER = (
    "only vmferry-operator and the agents of its two nodes write the status of a VMMigration, not "
    "kubernetes-admin; edit spec instead, or to repair it by hand act as the group vmferry:break-glass"
)
ONLY_THE_OPERATOR = (
    "only vmferry-operator writes the status of a MigrationPolicy, not kubernetes-admin; edit spec instead, or to "
    "repair it by hand act as the group vmferry:break-glass"
)
NOTHING_BUT = (
    "vmferry's operator changes nothing of a VMMigration but its status and the finalizer vmferry.io/migration: "
    "spec and metadata are those of the people who asked for it"
)


def rbac(verb: str, resource: str, group: str, *, where: str = 'in the namespace "default"') -> str:
    """What RBAC says."""
    return f'cannot {verb} resource "{resource}" in API group "{group}" {where}'


CLUSTER = "at the cluster scope"
SYSTEM = 'in the namespace "vmferry-system"'


def migration_asked_for(holder: str, what: str) -> Try:
    """A new VMMigration, by one who may ask for none."""
    spec = {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"}
    return Try(
        holder=holder,
        what=what,
        method="POST",
        path=MIGRATIONS,
        body={"metadata": {"name": "stolen"}, "spec": spec},
        refused=rbac("create", "vmmigrations", "vmferry.io"),
    )


def policy_edited(holder: str) -> Try:
    """A MigrationPolicy's spec, by one who may edit none."""
    return merged(
        holder,
        "edit a policy",
        f"{POLICIES}/balanced",
        {"spec": {"maxDowntime": "2s"}},
        refused=rbac("patch", "migrationpolicies", "vmferry.io", where=CLUSTER),
    )


AGENT_TRIES = [
    applied(
        SOURCE,
        "raise the revision of `desired`",
        {**REPORTED, "desired": {**DESIRED, "revision": 9}},
        by=SOURCE_AGENT,
        refused=FROM + "desired",
    ),
    applied(
        SOURCE,
        "write the operator's fields in its name (`fieldManager`)",
        {**DECIDED, "desired": {**DESIRED, "revision": 9}},
        by=OPERATOR,
        refused=FROM + "desired",
    ),
    merged(
        SOURCE,
        "remove `desired`",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {"status": {"desired": None}},
        by=SOURCE_AGENT,
        refused="desired must not be removed: its revision would start anew",
    ),
    merged(
        SOURCE,
        "move the revision back",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {"status": {"desired": {"revision": 1}}},
        by=SOURCE_AGENT,
        refused="desired.revision must not go back",
    ),
    merged(
        SOURCE,
        "remove the whole status",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {"status": None},
        by=SOURCE_AGENT,
        refused="desired must not be removed: its revision would start anew",
    ),
    applied(
        SOURCE,
        "declare it `Succeeded`",
        {**REPORTED, "phase": "Succeeded"},
        by=SOURCE_AGENT,
        refused=FROM + "phase",
    ),
    applied(
        SOURCE,
        "take its end back",
        {"phase": "Running"},
        by=SOURCE_AGENT,
        to=OVER,
        refused="a terminal phase never changes; create another VMMigration instead",
    ),
    applied(
        SOURCE,
        "write the audit trail",
        {**REPORTED, "steps": []},
        by=SOURCE_AGENT,
        refused=FROM + "steps",
    ),
    applied(
        SOURCE,
        "set the operator's condition `Complete`",
        {**REPORTED, "conditions": [*REPORTED["conditions"], condition("Complete")]},
        by=SOURCE_AGENT,
        refused=ONLY_CONDITIONS + "Complete",
    ),
    applied(
        SOURCE,
        "turn the operator's condition `Accepted` to False",
        {**REPORTED, "conditions": [condition("Accepted", "False")]},
        by=SOURCE_AGENT,
        refused=ONLY_CONDITIONS + "Accepted",
    ),
    applied(
        SOURCE,
        "set a condition that there is not",
        {**REPORTED, "conditions": [condition("Anything")]},
        by=SOURCE_AGENT,
        refused=ONLY_CONDITIONS + "Anything",
    ),
    applied(
        SOURCE,
        "become second holder of `waitingSince`, so that it stays when the operator drops it",
        {**REPORTED, "waitingSince": TIME},
        by=SOURCE_AGENT,
        refused=TAKE_OVER,
    ),
    applied(
        SOURCE,
        "become second holder of the condition `Reconciling`",
        {**REPORTED, "conditions": [condition("Reconciling")]},
        by=SOURCE_AGENT,
        refused=TAKE_OVER,
    ),
    applied(
        SOURCE,
        "report as another field manager",
        REPORTED,
        by="curl",
        refused=AS_MANAGER,
    ),
    applied(
        SOURCE,
        "report for the target",
        {**REPORTED, "target": {"ready": True}},
        by=SOURCE_AGENT,
        refused=FROM + "target",
    ),
    applied(
        TARGET,
        "report for the source",
        {
            "target": {"ready": True},
            "progress": {
                "percent": 1,
                "pass": 1,
                "remaining": 1,
                "transferred": 1,
                "total": 2,
                "elapsed": "1s",
            },
        },
        by=TARGET_AGENT,
        refused="the agent of node node-b may write of this status only target; not progress",
    ),
    applied(
        TARGET,
        "set a condition",
        {"target": {"ready": True}, "conditions": [condition("Running", "False")]},
        by=TARGET_AGENT,
        refused="the agent of node node-b may write of this status only target; not conditions",
    ),
    applied(
        TARGET,
        "write as the source's agent",
        {**REPORTED, "attempts": []},
        by=SOURCE_AGENT,
        refused="the agent of node node-b may write of this status only target; not attempts",
    ),
    applied(
        SOURCE,
        "write to a migration between other nodes",
        {"attempts": [ATTEMPT]},
        by=SOURCE_AGENT,
        to=FOREIGN,
        refused=NO_PART.format("node-a", "node-c", "node-d"),
    ),
    applied(
        UNBOUND,
        "write any status",
        REPORTED,
        by=SOURCE_AGENT,
        refused=NOT_BOUND,
    ),
    merged(
        SOURCE,
        "redirect the migration (`spec.targetNode`)",
        f"{MIGRATIONS}/{MIGRATION}",
        {"spec": {"targetNode": "node-e"}},
        refused=rbac("patch", "vmmigrations", "vmferry.io"),
    ),
    merged(
        SOURCE,
        "the same through `/status`, with labels and finalizers",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {
            "metadata": {"labels": {"a": "b"}, "finalizers": ["example.com/x"]},
            "spec": {"targetNode": "node-e"},
        },
        by=SOURCE_AGENT,
        means="nothing: the API server takes only `status` there",
    ),
    merged(
        SOURCE,
        "wipe who manages which field",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {"metadata": {"managedFields": [{}]}},
        by=SOURCE_AGENT,
        means="nothing: the API server keeps its own account",
    ),
    Try(
        holder=SOURCE,
        what="delete a migration",
        method="DELETE",
        path=f"{MIGRATIONS}/{MIGRATION}",
        refused=rbac("delete", "vmmigrations", "vmferry.io"),
    ),
    migration_asked_for(SOURCE, "ask for a migration"),
    policy_edited(SOURCE),
    merged(
        SOURCE,
        "write a policy's status",
        f"{POLICIES}/balanced/status",
        {"status": {"active": 7}},
        refused=rbac("patch", "migrationpolicies/status", "vmferry.io", where=CLUSTER),
    ),
    lease(
        SOURCE,
        "keep another node's agent alive, or make it seem so",
        "vmferry-agent-node-b",
        held_by="node-a_boot",
        refused="the agent of node node-a may write only the Lease vmferry-agent-node-a, not vmferry-agent-node-b",
    ),
    lease(
        SOURCE,
        "hold its own Lease in another's name",
        "vmferry-agent-node-a",
        held_by="node-b_boot",
        refused="the agent of node node-a may hold its Lease only as node-a_BOOT-ID, not as node-b_boot",
    ),
    lease(
        SOURCE,
        "hold its own Lease for ever",
        "vmferry-agent-node-a",
        held_by="node-a_boot",
        lasts=2**31 - 1,
        refused="the agent of node node-a may hold its Lease for 60 s at a time, not for 2147483647: a node must "
        "not seem alive when its agent is gone",
    ),
    lease(
        SOURCE,
        "keep its own Lease from being deleted, and vmferry's namespace with it (a finalizer)",
        "vmferry-agent-node-a",
        held_by="node-a_boot",
        finalizers=["example.com/held"],
        refused="the agent of node node-a may put no finalizer on its Lease: the namespace could not be deleted",
    ),
    lease(
        SOURCE,
        "take the operator's Lease",
        "vmferry-operator",
        held_by="node-a_boot",
        refused="the agent of node node-a may write only the Lease vmferry-agent-node-a, not vmferry-operator",
    ),
    lease(
        SOURCE,
        "have a Lease named by the API server",
        "vmferry-agent-",
        held_by="node-a_boot",
        refused="the agent of node node-a may write only the Lease vmferry-agent-node-a, not vmferry-agent-",
    ),
    lease(
        UNBOUND,
        "write any Lease",
        "vmferry-agent-node-a",
        held_by="node-a_boot",
        refused=NOT_BOUND,
    ),
    Try(
        holder=SOURCE,
        what="delete a Lease",
        method="DELETE",
        path=f"{LEASES}/vmferry-operator",
        refused=rbac("delete", "leases", "coordination.k8s.io", where=SYSTEM),
    ),
    Try(
        holder=SOURCE,
        what="read secrets",
        method="GET",
        path="/api/v1/namespaces/vmferry-system/secrets",
        refused=rbac("list", "secrets", "", where=SYSTEM),
    ),
    Try(
        holder=SOURCE,
        what="create a Pod, with a mount of the host say",
        method="POST",
        path="/api/v1/namespaces/vmferry-system/pods",
        body={
            "metadata": {"name": "stolen"},
            "spec": {"containers": [{"name": "a", "image": "a.invalid/a"}]},
        },
        refused=rbac("create", "pods", "", where=SYSTEM),
    ),
    Try(
        holder=SOURCE,
        what="run a command in a Pod",
        method="POST",
        path="/api/v1/namespaces/vmferry-system/pods/vmferry-agent-node-b/exec",
        query={"command": "id"},
        refused=rbac("create", "pods/exec", "", where=SYSTEM),
    ),
    Try(
        holder=SOURCE,
        what="tell lies in Events",
        method="POST",
        path="/apis/events.k8s.io/v1/namespaces/default/events",
        body={"metadata": {"name": "stolen"}},
        refused=rbac("create", "events", "events.k8s.io"),
    ),
    token_of(
        SOURCE,
        "ask for another token of its own account, not bound to its Pod",
        "vmferry-agent",
        resource="serviceaccounts/token",
    ),
    token_of(SOURCE, "ask for the operator's token", "vmferry-operator", resource="serviceaccounts/token"),
    Try(
        holder=SOURCE,
        what="act as another user",
        method="GET",
        path=MIGRATIONS,
        headers={"Impersonate-User": "system:admin"},
        refused="cannot impersonate",
    ),
    Try(
        holder=SOURCE,
        what="give itself a role",
        method="POST",
        path="/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        body={
            "metadata": {"name": "stolen"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
        },
        refused=rbac("create", "clusterrolebindings", "rbac.authorization.k8s.io", where=CLUSTER),
    ),
    Try(
        holder=SOURCE,
        what="remove an admission policy",
        method="DELETE",
        path="/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/vmferry-migration-status",
        refused=rbac("delete", "validatingadmissionpolicies", "admissionregistration.k8s.io", where=CLUSTER),
    ),
    Try(
        holder=SOURCE,
        what="change a Node",
        method="PATCH",
        path="/api/v1/nodes/node-a",
        body={"metadata": {"labels": {"a": "b"}}},
        content=MERGE,
        refused=rbac("patch", "nodes", "", where=CLUSTER),
    ),
    Try(
        holder=SOURCE,
        what="read all migrations of the cluster",
        method="GET",
        path="/apis/vmferry.io/v1alpha1/vmmigrations",
        means="it learns the names of VMs, nodes and policies, addresses of hosts, and how each migration goes",
    ),
    Try(
        holder=SOURCE,
        what="read the Leases in vmferry's namespace",
        method="GET",
        path=f"{LEASES}/vmferry-operator",
        means="it learns which agents and operators live",
    ),
    applied(
        SOURCE,
        "lie about its own VM: an attempt that never was has completed",
        {
            "attempts": [{**ATTEMPT, "end": TIME, "outcome": "Completed"}],
            "conditions": [condition("Running", "False")],
        },
        by=SOURCE_AGENT,
        means="the operator judges this migration by it; the VM stays where it is, and no other is touched",
    ),
    *(
        applied(
            TARGET,
            f"{what} (`{uri}`)",
            {"target": {"ready": True, "connectURI": uri}},
            by=TARGET_AGENT,
            refused="the agent of node node-b may be reached only at the address of a QEMU host's daemon, such as "
            f"qemu+tls://HOST/system, that says no more than how to connect; not at {uri}",
        )
        for what, uri in (
            ("have the source's libvirtd run a program", "qemu+ext:///system?command=/tmp/x"),
            ("have the source's libvirtd run a program", "qemu+ssh://node-b/system?a=1;Command=/tmp/x"),
            ("have the source's libvirtd run a program", "qemu+ssh://node-b/system?%63ommand=/tmp/x"),
            (
                "have the source's libvirtd ask itself to run one",
                "qemu+unix:///system?socket=/run/libvirt/libvirt-sock&name=qemu+ssh://x/system%3Fcommand=/tmp/x",
            ),
            (
                "have the source's libvirtd ask itself to run one",
                "qemu+tls://node-a/system?name=qemu+ssh://x/system%3Fcommand=/tmp/x",
            ),
            ("have it run one on another host", "qemu+ssh://node-c/system?netcat=/sbin/reboot"),
            (
                "have it write to a file of the source's host",
                "qemu+libssh://node-b/system?known_hosts=/etc/x&known_hosts_verify=auto",
            ),
            (
                "have it trust an authority of the target's choice",
                "qemu+tls://node-b/system?pkipath=/shared/images",
            ),
        )
    ),
    applied(
        TARGET,
        "have memory sent into a socket of the source's host",
        {"target": {"ready": True, "migrationURI": "unix:///run/x"}},
        by=TARGET_AGENT,
        refused="the agent of node node-b may have memory sent only to a host, as by tcp://HOST; not to unix:///run/x",
    ),
    applied(
        TARGET,
        "have memory sent to whoever has a certificate for any name (`tlsDestination` is empty)",
        {"target": {"ready": True, "tlsDestination": ""}},
        by=TARGET_AGENT,
        refused="the agent of node node-b may tell as tlsDestination only a name that a certificate holds; not ''",
    ),
    applied(
        TARGET,
        "lie about itself: ready, and reached at an address of its choice",
        {"target": {"ready": True, "connectURI": "qemu+tls://192.0.2.9/system"}},
        by=TARGET_AGENT,
        means="VMs that people move to node-b are sent where it says; with TLS only to a host with a certificate",
    ),
    lease(
        SOURCE,
        "keep its own Lease while its agent is dead",
        "vmferry-agent-node-a",
        held_by="node-a_boot",
        means="a dead node seems alive; what its agent owes still counts as not reported",
    ),
]
OTHER_TRIES = [
    applied(
        OTHER,
        "write to a migration as an agent of a node that has no part in it",
        {"target": {"ready": False}},
        by=TARGET_AGENT,
        refused=NO_PART.format("node-e", "node-a", "node-b"),
    ),
    applied(
        OPERATOR_TOKEN,
        "report for the source",
        {**DECIDED, "attempts": []},
        by=OPERATOR,
        refused=OPERATOR_MAY + "attempts",
    ),
    applied(
        OPERATOR_TOKEN,
        "report for the target",
        {**DECIDED, "target": {"ready": True}},
        by=OPERATOR,
        refused=OPERATOR_MAY + "target",
    ),
    applied(
        OPERATOR_TOKEN,
        "set an agent's condition",
        {**DECIDED, "conditions": [*DECIDED["conditions"], condition("Running", "False")]},
        by=OPERATOR,
        refused=OPERATOR_CONDITIONS + "Running",
    ),
    applied(
        OPERATOR_TOKEN,
        "move the revision back",
        {**DECIDED, "desired": {**DESIRED, "revision": 1}},
        by=OPERATOR,
        refused="desired.revision must not go back",
    ),
    applied(
        OPERATOR_TOKEN,
        "remove `desired`, to begin anew with it",
        {"phase": "Running"},
        by=OPERATOR,
        refused="desired must not be removed: its revision would start anew",
    ),
    applied(
        OPERATOR_TOKEN,
        "bring an ended migration back",
        {"phase": "Running"},
        by=OPERATOR,
        to=OVER,
        refused="a terminal phase never changes; create another VMMigration instead",
    ),
    merged(
        OPERATOR_TOKEN,
        "cancel a migration, or edit its spec",
        f"{MIGRATIONS}/{MIGRATION}",
        {"spec": {"cancel": True}},
        refused=NOTHING_BUT,
    ),
    merged(
        OPERATOR_TOKEN,
        "label a migration, so that another policy selects it",
        f"{MIGRATIONS}/{MIGRATION}",
        {"metadata": {"labels": {"tier": "db"}}},
        refused=NOTHING_BUT,
    ),
    merged(
        OPERATOR_TOKEN,
        "remove the finalizers of others",
        f"{MIGRATIONS}/{FOREIGN}",
        {"metadata": {"finalizers": None}},
        refused=NOTHING_BUT,
    ),
    Try(
        holder=OPERATOR_TOKEN,
        what="delete a migration that is not over, or has no `ttlAfterFinished`",
        method="DELETE",
        path=f"{MIGRATIONS}/{OVER}",
        refused="vmferry's operator deletes only a VMMigration that is over and has spec.ttlAfterFinished",
    ),
    migration_asked_for(OPERATOR_TOKEN, "ask for a migration"),
    policy_edited(OPERATOR_TOKEN),
    lease(
        OPERATOR_TOKEN,
        "make an agent seem alive",
        "vmferry-agent-node-z",
        held_by="node-z_boot",
        refused="the operator may write only the Lease vmferry-operator, not vmferry-agent-node-z",
    ),
    Try(
        holder=OPERATOR_TOKEN,
        what="read secrets",
        method="GET",
        path="/api/v1/secrets",
        refused=rbac("list", "secrets", "", where=CLUSTER),
    ),
    token_of(OPERATOR_TOKEN, "ask for an agent's token", "vmferry-agent", resource="serviceaccounts/token"),
    Try(
        holder=OPERATOR_TOKEN,
        what="tell lies in Events",
        method="POST",
        path="/apis/events.k8s.io/v1/namespaces/default/events",
        query={"dryRun": "All"},
        body={
            "metadata": {"name": "stolen"},
            "eventTime": "2026-01-01T00:00:00.000001Z",
            "reportingController": "anyone",
            "reportingInstance": "x",
            "action": "Lie",
            "reason": "Lie",
            "type": "Normal",
            "regarding": {"kind": "VMMigration", "namespace": "default", "name": MIGRATION},
        },
        means="people are misled; nothing is decided by Events",
    ),
    applied(
        OPERATOR_TOKEN,
        "order an abort, post-copy, another downtime, of any migration",
        {**DECIDED, "desired": {**DESIRED, "revision": 3, "state": "Abort"}},
        by=OPERATOR,
        means="it steers all migrations that people have asked for, and can ask for none",
    ),
    merged(
        EDITOR,
        "write a status",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {"status": {"phase": "Failed"}},
        refused=rbac("patch", "vmmigrations/status", "vmferry.io"),
    ),
    migration_asked_for(EDITOR, "ask for a migration, without the role vmferry-edit"),
    policy_edited(EDITOR),
    merged(
        EDITOR,
        "name VMs for its namespace (`vmferry.io/vms`)",
        "/api/v1/namespaces/default",
        {"metadata": {"annotations": {"vmferry.io/vms": "*"}}},
        refused=rbac("patch", "namespaces", ""),
    ),
    merged(
        ADMINISTRATOR,
        "write a migration's status",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {"status": {"phase": "Failed"}},
        refused=NOT_THE_WRITER,
    ),
    merged(
        ADMINISTRATOR,
        "write `desired`",
        f"{MIGRATIONS}/{MIGRATION}/status",
        {"status": {"desired": {"state": "Abort"}}},
        refused=NOT_THE_WRITER,
    ),
    merged(
        ADMINISTRATOR,
        "write a policy's status",
        f"{POLICIES}/balanced/status",
        {"status": {"active": 7}},
        refused=ONLY_THE_OPERATOR,
    ),
    Try(
        holder=ADMINISTRATOR,
        what="repair a status by hand, as the group `vmferry:break-glass`",
        method="PATCH",
        path=f"{MIGRATIONS}/{FOREIGN}/status",
        body={"status": {"reason": "RepairedByHand"}},
        content=MERGE,
        headers={"Impersonate-User": "kubernetes-admin", "Impersonate-Group": "vmferry:break-glass"},
        means="the audit log tells who did; a revision does not go back and an end stays an end even so",
    ),
]
TRIES = [*AGENT_TRIES, *OTHER_TRIES]
