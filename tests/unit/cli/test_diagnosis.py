"""doctor: what is found, and its cure."""

import copy
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from migrations_shown import RUNNING, at, condition, migration, policy, running, told

from kubectl_vmferry.cluster.certificates import shown_by, tls_address
from kubectl_vmferry.commands import doctor
from kubectl_vmferry.diagnosis.admission import NAMES, VMS_BY_NAMESPACE, admission
from kubectl_vmferry.diagnosis.api import crds, server
from kubectl_vmferry.diagnosis.certificates import expiry
from kubectl_vmferry.diagnosis.findings import Level
from kubectl_vmferry.diagnosis.hosts import hosts, links, troubles
from kubectl_vmferry.diagnosis.pods import agents_by_node, pods
from kubectl_vmferry.diagnosis.policies import policies
from kubectl_vmferry.diagnosis.processes import agents, operator
from kubectl_vmferry.failures import Failure, NotFoundFailure
from kubectl_vmferry.main import main
from vmferry_api.crd.definitions import DEFINITIONS, custom_resource_definition


def shown(findings):
    return [(str(each.level), each.subject, each.message) for each in findings]


def stored(definition):
    crd = copy.deepcopy(custom_resource_definition(definition))
    crd["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
    return crd


ALL = [stored(each) for each in DEFINITIONS]


def test_the_crds_that_are_as_ours_are_well():
    assert [each.level for each in crds(ALL)] == [Level.OK, Level.OK]


def test_a_crd_that_is_not_there_names_the_way_to_install_it():
    missing, _ = crds(ALL[1:])
    assert (missing.level, missing.message, missing.cure) == (
        Level.ERROR,
        "is not there",
        "kubectl apply -k crds",
    )


def test_a_crd_of_another_version_tells_what_differs():
    older = stored(DEFINITIONS[0])
    spec = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["objective"]
    spec["magic"] = {"type": "string"}
    found, _ = crds([older, ALL[1]])
    assert found.level == Level.WARNING
    assert "the cluster lacks spec.objective, spec.objective.allow" in found.message
    assert "the plugin lacks spec.magic" in found.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda crd: crd["status"]["conditions"].clear(), "is not served: not established"),
        (
            lambda crd: crd["spec"]["versions"][0].update(name="v9"),
            "serves v9, and this plugin speaks v1alpha1",
        ),
    ],
)
def test_a_crd_that_does_not_serve_us_is_an_error(change, says):
    crd = stored(DEFINITIONS[0])
    change(crd)
    found, _ = crds([crd, ALL[1]])
    assert (found.level, found.message) == (Level.ERROR, says)


@pytest.mark.parametrize(
    ("version", "level"), [("v1.30.9", Level.ERROR), ("v1.31.0", Level.OK), ("v1.37.2+k3s1", Level.OK)]
)
def test_an_api_server_must_know_selectable_fields(version, level):
    assert server(version).level == level


def lease(name, seconds, **spec):
    return {
        "metadata": {"name": name},
        "spec": {
            "holderIdentity": "somebody",
            "renewTime": told(seconds),
            "leaseDurationSeconds": 40,
            **spec,
        },
    }


def test_agents_live_as_their_leases_say():
    found = agents(
        [lease("vmferry-agent-node-a", 25), lease("vmferry-agent-node-c", -60), lease("other", 0)],
        ["node-a", "node-b", "node-c", "node-d"],
        [running()],
        at(30),
        pods={},
    )
    assert shown(found) == [
        ("ok", "agent of node-a", "lives (renewed its Lease 5 s ago)"),
        ("error", "agent of node-b", "has no Lease, and a migration needs it"),
        ("error", "agent of node-c", "has not renewed its Lease for 1 m 30 s"),
        ("note", "other Nodes", "node-d have no agent: no VM can come or go there"),
    ]


def test_of_a_lease_s_age_the_api_server_tells_whatever_clock_its_holder_has():
    ahead, behind = lease("vmferry-agent-a", 600), lease("vmferry-agent-b", -600)
    ahead["metadata"]["managedFields"] = [
        {"manager": "x", "time": told(-60)},
        {"manager": "y"},
        {"manager": "forged", "time": told(10**9)},
    ]
    behind["metadata"]["managedFields"] = [
        {"manager": "x", "time": told(25)},
        {"manager": "y", "time": told(0)},
    ]
    assert shown(agents([ahead, behind], [], [], at(30), pods={})) == [
        ("error", "agent of a", "has not renewed its Lease for 1 m 30 s"),
        ("ok", "agent of b", "lives (renewed its Lease 5 s ago)"),
    ]


def test_no_agent_at_all_is_an_error():
    assert [each.level for each in agents([], [], [], at(30), pods={})] == [Level.ERROR]


def test_a_lease_that_was_never_renewed_is_an_error():
    (found,) = agents([lease("vmferry-agent-a", 0, renewTime=None)], [], [], at(0), pods={})
    assert found.message == "its Lease was never renewed"


def test_an_operator_that_has_not_looked_at_what_is_there_is_an_error():
    found = operator([], [], [migration()], at(60))
    assert (found.level, found.message) == (
        Level.ERROR,
        "has not looked at default/db-1-to-node-b as they are now",
    )


def test_an_operator_with_a_lease_lives_as_that_says():
    assert operator([lease("vmferry-operator", 55)], [], [], at(60)).level == Level.OK
    assert operator([lease("vmferry-operator", 5)], [], [running()], at(60)).level == Level.ERROR
    short = lease("vmferry-operator", 45, leaseDurationSeconds=10)
    assert operator([short], [], [running()], at(60)).message == "has not renewed its Lease for 15 s"


def test_an_operator_whose_lease_nobody_holds_is_an_error():
    found = operator([lease("vmferry-operator", 59, holderIdentity="")], [], [running()], at(60))
    assert (found.level, found.message) == (
        Level.ERROR,
        "none leads: its Lease was given back, and no other one has taken it",
    )


@pytest.mark.parametrize("there", [[], [running()]])
def test_of_an_operator_without_a_lease_it_is_not_known_whether_it_runs(there):
    found = operator([], [], there, at(60))
    assert (found.level, "whether it runs is not known" in found.message) == (Level.NOTE, True)


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({"managedFields": [{"manager": "kubectl", "time": told(58)}]}, Level.OK),
        ({"managedFields": [{"manager": "kubectl", "time": told(40)}]}, Level.ERROR),
        (
            {
                "managedFields": [
                    {"manager": "vmferry-source-agent", "subresource": "status", "time": told(58)}
                ]
            },
            Level.ERROR,
        ),
        ({"deletionTimestamp": told(58)}, Level.OK),
        ({"deletionTimestamp": told(40)}, Level.ERROR),
    ],
    ids=[
        "edited just now",
        "edited long ago",
        "reported on just now",
        "deleted just now",
        "deleted long ago",
    ],
)
def test_an_old_object_that_was_changed_just_now_may_not_have_been_looked_at(changed, level):
    found = operator([lease("vmferry-operator", 55)], [], [migration(**changed)], at(60))
    assert found.level == level, found


def test_what_is_too_new_to_have_been_looked_at_is_told():
    found = operator([lease("vmferry-operator", 0)], [], [migration(), running()], at(5))
    assert (found.level, "has not yet looked at 1 of 2 objects" in found.message) == (Level.OK, True), found


def pod(component, *, ready=False, node="node-a", since=0, **more):
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": at(since).isoformat()}]
    status = {"phase": "Running", "conditions": conditions + more.pop("conditions", []), **more}
    labels = {"app.kubernetes.io/component": component}
    created = at(0).isoformat()
    return {
        "metadata": {
            "name": f"vmferry-{component}-1",
            "namespace": "vmferry-system",
            "labels": labels,
            "creationTimestamp": created,
        },
        "spec": {"nodeName": node} if node else {},
        "status": status,
    }


def test_what_an_agent_lacks_is_asked_where_it_runs():
    stale, missing = lease("vmferry-agent-node-a", -60), [running()]
    by_hand = agents([stale], [], missing, at(30), pods={})
    assert [each.cure for each in by_hand] == [
        "look at its log on node-a, and run `vmferry-agent check` there",
        "start it on node-b (docs/agent.md)",
    ]
    one, other = pod("agent"), pod("agent", node="node-b")
    over = {**pod("agent"), "status": {"phase": "Failed"}}
    several = agents_by_node([over, one, other, pod("operator", node="node-b"), pod("agent", node=None)])
    assert several == {"node-a": one, "node-b": other}
    cure = "-n vmferry-system vmferry-agent-1"
    in_pods = agents([stale], [], missing, at(30), pods=several)
    assert [each.cure for each in in_pods] == 2 * [
        f"kubectl logs {cure}; kubectl exec {cure} -- vmferry-agent check"
    ]


NO_IMAGE = [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}]
NO_NODE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]
CREATED = {"metadata": {**pod("agent")["metadata"]}, "spec": {}, "status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([], []),
        ([pod("agent", ready=True), pod("operator", ready=True)], [("ok", "2, all ready", "")]),
        (
            [pod("agent", ready=True), pod("agent", since=10)],
            [
                (
                    "error",
                    "vmferry-agent-1 on node-a is not ready for 50 s",
                    "kubectl logs -n vmferry-system vmferry-agent-1",
                )
            ],
        ),
        ([pod("agent", since=40)], [("note", "vmferry-agent-1 on node-a is not ready for 20 s", "")]),
        (
            [pod("operator", since=55, containerStatuses=NO_IMAGE)],
            [
                (
                    "warning",
                    "vmferry-operator-1 on node-a is not ready for 5 s: ErrImagePull: no such host",
                    "kubectl describe pod -n vmferry-system vmferry-operator-1",
                )
            ],
        ),
        (
            [pod("operator", node=None, phase="Pending", conditions=NO_NODE)],
            [
                (
                    "warning",
                    "vmferry-operator-1 is not ready for 1 m: Unschedulable: 0/2 nodes",
                    "kubectl describe pod -n vmferry-system vmferry-operator-1",
                )
            ],
        ),
        (
            [CREATED],
            [
                (
                    "error",
                    "vmferry-agent-1 is not ready for 1 m",
                    "kubectl logs -n vmferry-system vmferry-agent-1",
                )
            ],
        ),
        ([pod("operator", phase="Failed"), pod("operator", ready=True)], [("ok", "1, all ready", "")]),
    ],
    ids=[
        "none: they run as processes",
        "all are ready",
        "an agent does not get on",
        "an agent that has just started",
        "no image",
        "no node",
        "what no scheduler has seen",
        "one that has ended",
    ],
)
def test_pods_are_ready_or_say_why_not(found, told):
    assert [(str(each.level), each.message, each.cure) for each in pods(found, at(60))] == told


HOST = {"ready": True, "libvirtVersion": "9.0.0", "qemuVersion": "7.2.0", "features": []}
POST_COPY = policy("post-copy", steps=[{"after": {"passes": 2}, "switchToPostCopy": {}}])
ENCRYPTED = policy("secret", start={"encryption": "Required"})


def test_what_a_host_lacks_counts_only_where_a_policy_asks_for_it():
    found = list(hosts([running(source=None, target=HOST)], [POST_COPY]))
    assert [(str(each.level), each.message) for each in found] == [
        ("ok", "libvirt 9.0.0, QEMU 7.2.0"),
        ("warning", "userfaultfd: QEMU may not use it: no post-copy; it is asked for by post-copy"),
        ("note", "QEMU has no certificates: no encrypted stream; no policy asks for it"),
    ]
    assert "sysctl vm.unprivileged_userfaultfd=1" in found[1].cure
    assert [each.level for each in hosts([running(source=None, target=HOST)], [ENCRYPTED])] == [
        Level.OK,
        Level.NOTE,
        Level.WARNING,
    ]


def test_the_newest_report_of_a_host_counts():
    able = {**HOST, "features": ["PostCopy", "TLS"]}
    old = migration({"target": HOST}, name="old", creationTimestamp=told(-99))
    new = migration({"target": able}, name="new")
    assert [each.level for each in hosts([new, old], [POST_COPY, ENCRYPTED])] == [Level.OK] * 3


def test_of_hosts_that_no_migration_has_concerned_nothing_is_known():
    assert [each.level for each in hosts([migration()], [])] == [Level.NOTE]


def test_links_are_as_the_newest_migration_found_them():
    attempt = {
        "number": 1,
        "start": told(1),
        "end": told(2),
        "outcome": "Failed",
        "error": "no route to host",
    }
    failed = migration(
        {
            **RUNNING,
            "phase": "Failed",
            "attempts": [attempt],
            "conditions": [condition("Stalled", reason="MigrationFailed")],
        },
        name="new",
        creationTimestamp=told(5),
    )
    assert shown(links([failed, running()])) == [
        ("warning", "node-a → node-b", "default/new failed: no route to host")
    ]
    assert shown(links([running()])) == [
        ("ok", "node-a → node-b", "libvirt has connected, memory flowed at 50 MiB/s (default/db-1-to-node-b)")
    ]
    assert [each.level for each in links([migration()])] == [Level.NOTE]


@pytest.mark.parametrize("phase", ["Running", "Cancelled"])
def test_a_migration_over_which_no_memory_has_flowed_hides_no_older_one(phase):
    mute = migration({**RUNNING, "phase": phase, "progress": None}, name="new", creationTimestamp=told(5))
    older = shown(links([running()]))
    assert shown(links([mute, running()])) == older
    assert [each.level for each in links([mute])] == [Level.NOTE]


def test_a_move_too_short_to_measure_says_that_libvirt_has_connected():
    moved = running(phase="Succeeded", progress=None)
    assert shown(links([moved])) == [
        ("ok", "node-a → node-b", "libvirt has connected (default/db-1-to-node-b: Succeeded)")
    ]


@pytest.mark.parametrize("reason", ["AgentSilent", "HypervisorUnreachable"])
def test_what_agents_can_not_do_is_an_error(reason):
    silent = running(conditions=[condition("Reconciling", reason=reason, message="node-a is silent")])
    (found,) = troubles([silent, running(phase="Succeeded")])
    assert (found.level, found.message) == (Level.ERROR, f"{reason}: node-a is silent")
    assert found.cure == "kubectl vmferry describe -n default db-1-to-node-b"


def test_what_a_target_says_is_a_warning():
    (found,) = troubles([running(target={"ready": False, "message": "there is no pool"})])
    assert (found.level, found.message) == (Level.WARNING, "there is no pool")
    assert list(troubles([running()])) == []


def test_an_agent_that_can_not_ask_its_libvirt_is_an_error():
    (found,) = troubles([running(target={"ready": False, "unreachable": True, "message": "no socket"})])
    assert (found.level, found.message) == (
        Level.ERROR,
        "the agent of node-b can't ask its libvirt: no socket",
    )


def test_policies_are_well_or_say_why_not():
    refused = policy("bad").replace(
        status=policy().status.model_validate(
            {"conditions": [condition("Accepted", "False", "Unreadable", "can't be read")]}
        )
    )
    default = policy("default", globalDefault=True)
    assert shown(policies([default])) == [("ok", "policies", "1, all can be carried out")]
    assert shown(policies([default, refused])) == [("error", "policy bad", "can't be read")]
    assert [each.level for each in policies([policy()])] == [Level.OK, Level.NOTE]


def test_a_certificate_warns_before_it_ends():
    levels = [expiry("c", at(0) + timedelta(days=days), at(0), "renew it").level for days in (-1, 5, 50)]
    assert levels == [Level.ERROR, Level.WARNING, Level.OK]


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("qemu+tls://node-b/system", ("node-b", 16514)),
        ("qemu+tls://[fd00::1]:99/system", ("fd00::1", 99)),
        ("qemu+tcp://node-b/system", None),
        ("qemu+tls://node-b:99999/system", None),
        ("qemu+tls://[zz]/system", None),
    ],
)
def test_only_tls_has_certificates(uri, address):
    assert tls_address(uri, scheme="qemu+tls", port=16514) == address


@pytest.mark.parametrize("host", ["b..c", "b" * 64])
def test_a_host_that_can_be_none_shows_none(host):
    assert shown_by(host, 16514) is None


def bindings(*names, **spec):
    return [{"spec": {"policyName": each, "validationActions": ["Deny"], **spec}} for each in names]


ACCOUNT = {"expression": "request.userInfo.username == 'system:serviceaccount:vmferry-system:vmferry-agent'"}
POLICIES_OF_ADMISSION = [{"metadata": {"name": each}, "spec": {"validations": [ACCOUNT]}} for each in NAMES]


def test_admission_is_in_force_where_all_policies_are_bound():
    (found,) = admission(POLICIES_OF_ADMISSION, bindings(*NAMES), "vmferry-system")
    assert (found.level, found.message) == (
        Level.OK,
        "4 policies are there and bound; what is in them is not compared",
    )


@pytest.mark.parametrize(
    ("there", "bound"),
    [
        (POLICIES_OF_ADMISSION[1:], bindings(*NAMES)),
        (POLICIES_OF_ADMISSION, bindings(*NAMES[1:])),
        (POLICIES_OF_ADMISSION, bindings(NAMES[0], validationActions=["Warn"]) + bindings(*NAMES[1:])),
        (POLICIES_OF_ADMISSION, bindings(NAMES[0], matchResources={"x": 1}) + bindings(*NAMES[1:])),
    ],
    ids=["not there", "not bound", "only a warning", "not everywhere"],
)
def test_a_policy_that_is_not_in_force_is_named(there, bound):
    (found,) = admission(there, bound, "vmferry-system")
    assert (found.level, found.message) == (
        Level.WARNING,
        f"not in force: {NAMES[0]}; an agent's token may write what belongs to others",
    )


def test_admission_for_the_accounts_of_another_namespace_is_an_error():
    (found,) = admission(POLICIES_OF_ADMISSION, bindings(*NAMES), "moved")
    assert (found.level, found.message) == (
        Level.ERROR,
        "is for the accounts in namespace vmferry-system, not in moved: all that those in moved write is refused",
    )


@pytest.mark.parametrize(
    ("bound", "told"), [(bindings(VMS_BY_NAMESPACE), 1), ([], 0)], ids=["bound", "not bound"]
)
def test_a_policy_that_refuses_namespaces_the_vms_that_they_do_not_name_is_told(bound, told):
    """A component that was taken out of a kustomization, or an earlier installation, leaves it."""
    there = [*POLICIES_OF_ADMISSION, {"metadata": {"name": VMS_BY_NAMESPACE}, "spec": {}}]
    _, *more = admission(there, [*bindings(*NAMES), *bound], "vmferry-system")
    says = "a namespace moves no VM but those that its annotation vmferry.io/vms names"
    found = (Level.NOTE, f"vmferry-vms-by-namespace is in force: {says}")
    assert [(each.level, each.message) for each in more] == told * [found]


class ClusterOfOneNamespace:
    """What somebody sees who may only read the migrations of one namespace."""

    host = "http://127.0.0.1:1"
    configuration = SimpleNamespace(cert_file=None)

    def __init__(self, refusal):
        self._refusal = refusal

    def version(self):
        return "v1.34.2"

    def now(self):
        return at(30)

    def migrations(self, *, everywhere=False):
        if everywhere:
            raise self._refusal
        return [
            {
                "metadata": {"name": "m", "namespace": "default", "generation": 1},
                "spec": SPEC,
                "status": RUNNING,
            }
        ]

    def __getattr__(self, _):
        def refused(*_):
            raise self._refusal

        return refused


SPEC = {"vm": "db-1", "sourceNode": "node-a", "targetNode": "node-b"}


def examined(monkeypatch, refusal):
    monkeypatch.setattr(doctor, "connect", lambda _: None)
    monkeypatch.setattr(doctor, "Cluster", lambda _: ClusterOfOneNamespace(refusal))
    done = CliRunner().invoke(main, ["doctor", "-o", "json"])
    return done.exit_code, {each["subject"]: each for each in json.loads(done.output)}


def test_what_may_not_be_read_is_told_and_the_rest_is_looked_at(monkeypatch):
    code, found = examined(monkeypatch, Failure("forbidden"))
    for subject in ("CRDs", "admission", "policies", "agents", "pods"):
        assert (found[subject]["level"], found[subject]["message"]) == (
            "warning",
            "can't be looked at: forbidden",
        )
    assert "node-a → node-b" in found
    assert (found["operator"]["level"], code) == ("note", 0)


def test_an_api_that_is_not_there_is_an_error(monkeypatch):
    code, found = examined(monkeypatch, NotFoundFailure("the cluster does not know vmferry's API"))
    assert (found["policies"]["level"], found["migrations"]["level"], code) == ("error", "error", 1)
