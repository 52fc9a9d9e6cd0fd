"""The chart gives the same objects as the kustomizations, and each value does what it says."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from objects_by_name import by_name

from generate_chart import KEEP, MANIFESTS, NAMESPACE, composed, kustomized
from vmferry_agent.configuration import options as agent_options
from vmferry_operator.configuration import options as operator_options

CHART = MANIFESTS / "chart"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
OPERATOR, AGENT = ("Deployment", "vmferry-operator"), ("DaemonSet", "vmferry-agent")
BUDGET = ("PodDisruptionBudget", "vmferry-operator")
HA = {
    "operator": {
        "spread": "required",
        "tolerations": [
            {
                "key": f"node.kubernetes.io/{what}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 30,
            }
            for what in ("not-ready", "unreachable")
        ],
    }
}


def as_helm_needs_it(objects):
    """The only differences: Helm wants the namespace before it installs, and is told to leave the kinds."""
    changed = {name: each for name, each in objects.items() if name != ("Namespace", NAMESPACE)}
    for (kind, _), each in changed.items():
        if kind == "CustomResourceDefinition":
            each["metadata"]["annotations"] = {**each["metadata"].get("annotations", {}), **KEEP}
    return changed


@pytest.mark.parametrize(
    ("directory", "values"),
    [
        ("base", {}),
        ("overlays/single", {"operator": {"replicas": 1}}),
        ("overlays/ha", HA),
        ("overlays/monitoring", {"monitoring": {"enabled": True}}),
    ],
)
def test_the_chart_gives_what_the_kustomization_gives(chart, directory, values):
    same(chart(values), kustomized(MANIFESTS / directory))


@pytest.mark.parametrize(
    ("component", "values"),
    [
        ("vms-by-namespace", {"admission": {"vmsByNamespace": True}}),
        ("libvirt-configuration", {"agent": {"mountLibvirtConfiguration": True}}),
        ("libvirt-tcp", {"agent": {"config": {"connect-uri": "qemu+tcp://$(HOST_IP)/system"}}}),
        (
            "libvirt-tls-by-name",
            {
                "agent": {
                    "config": {
                        "connect-uri": "qemu+tls://$(VMFERRY_NODE)/system",
                        "migration-uri": "tcp://$(VMFERRY_NODE)",
                    }
                }
            },
        ),
    ],
)
def test_the_chart_gives_what_the_base_gives_with_a_component(chart, component, values):
    same(chart(values), composed("base", component))


def same(given, objects):
    wanted = as_helm_needs_it(by_name(objects))
    assert given.keys() == wanted.keys()
    for name, each in wanted.items():
        assert given[name] == each, name


def test_the_templates_that_no_value_changes_are_made_from_the_base():
    subprocess.run([sys.executable, str(MANIFESTS / "generate_chart.py"), "--check"], check=True, timeout=60)


def test_helm_has_nothing_against_it(helm):
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_another_namespace_is_named_wherever_the_own_one_was(rendered):
    everything = {"monitoring": {"enabled": True}}
    own, other = rendered(everything), rendered(everything, namespace="elsewhere")
    assert own.count(NAMESPACE) > 10
    assert NAMESPACE not in other
    assert own.replace(NAMESPACE, "elsewhere") == other


def pod(objects, name):
    return objects[name]["spec"]["template"]["spec"]


def container(objects, name):
    (only,) = pod(objects, name)["containers"]
    return only


def environment(objects, name):
    return {each["name"]: each.get("value") for each in container(objects, name)["env"]}


def images(objects):
    return [container(objects, name)["image"] for name in (OPERATOR, AGENT)]


DIGEST = "sha256:" + 64 * "a"
LABEL = {"app": "prometheus"}
CASES = [
    ({"operator": {"replicas": 3}}, lambda all_: all_[OPERATOR]["spec"]["replicas"], 3),
    ({"operator": {"replicas": 3}}, lambda all_: BUDGET in all_, True),
    ({"operator": {"replicas": 1}}, lambda all_: BUDGET in all_, False),
    (
        {"image": {"registry": "registry.example/team/", "tag": "1"}},
        images,
        [f"registry.example/team/vmferry-{each}:1" for each in ("operator", "agent")],
    ),
    (
        {"agent": {"image": {"name": "mirror/agent", "digest": DIGEST}}},
        lambda all_: images(all_)[1],
        f"mirror/agent@{DIGEST}",
    ),
    (
        {"operator": {"image": {"digest": DIGEST}}},
        lambda all_: images(all_)[0],
        f"vmferry-operator@{DIGEST}",
    ),
    (
        {"image": {"pullPolicy": "Always"}},
        lambda all_: {container(all_, name)["imagePullPolicy"] for name in (OPERATOR, AGENT)},
        {"Always"},
    ),
    (
        {"image": {"pullSecrets": [{"name": "registry"}]}},
        lambda all_: [pod(all_, name)["imagePullSecrets"] for name in (OPERATOR, AGENT)],
        2 * [[{"name": "registry"}]],
    ),
    (
        {"agent": {"libvirtGroup": 2000000007}},
        lambda all_: pod(all_, AGENT)["securityContext"]["supplementalGroups"],
        [2000000007],
    ),
    (
        {"agent": {"mountLibvirtConfiguration": True}},
        lambda all_: [each["mountPath"] for each in container(all_, AGENT)["volumeMounts"]][1:],
        ["/run/libvirt", "/etc/pki", "/etc/libvirt"],
    ),
    (
        {"agent": {"nodeSelector": {"vmferry.io/libvirt-host": None, "kubernetes.io/os": "linux"}}},
        lambda all_: pod(all_, AGENT)["nodeSelector"],
        {"kubernetes.io/os": "linux"},
    ),
    ({"agent": {"tolerations": []}}, lambda all_: "tolerations" in pod(all_, AGENT), False),
    (
        {"agent": {"maxUnavailable": 1}},
        lambda all_: all_[AGENT]["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"],
        1,
    ),
    (
        {"agent": {"seLinuxOptions": {"type": "spc_t"}}},
        lambda all_: pod(all_, AGENT)["securityContext"]["seLinuxOptions"],
        {"type": "spc_t"},
    ),
    (
        {"agent": {"config": {"connect-uri": "qemu+tcp://$(VMFERRY_NODE)/system", "log-format": "json"}}},
        lambda all_: (container(all_, AGENT)["args"], environment(all_, AGENT)),
        (
            ["run", "--connect-uri=qemu+tcp://$(VMFERRY_NODE)/system"],
            {
                "VMFERRY_NAMESPACE": None,
                "VMFERRY_NODE": None,
                "HOST_IP": None,
                "VMFERRY_LOG_FORMAT": "json",
            },
        ),
    ),
    (
        {"operator": {"config": {"verbose": True}}},
        lambda all_: environment(all_, OPERATOR)["VMFERRY_VERBOSE"],
        "true",
    ),
    (
        {"agent": {"resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}}}},
        lambda all_: container(all_, AGENT)["resources"],
        {"requests": {"cpu": 1, "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
    ),
    (
        {"operator": {"resources": {"requests": {"cpu": 1}, "limits": {"memory": "2Gi"}}}},
        lambda all_: container(all_, OPERATOR)["resources"],
        {"requests": {"cpu": 1, "memory": "128Mi"}, "limits": {"memory": "2Gi"}},
    ),
    (
        {"operator": {"nodeSelector": {"role": "infra"}, "tolerations": [{"key": "infra"}]}},
        lambda all_: (pod(all_, OPERATOR)["nodeSelector"], pod(all_, OPERATOR)["tolerations"]),
        ({"kubernetes.io/os": "linux", "role": "infra"}, [{"key": "infra"}]),
    ),
    (
        {"operator": {"podAnnotations": {"a": "1"}}, "agent": {"podAnnotations": {"a": "2"}}},
        lambda all_: [
            all_[name]["spec"]["template"]["metadata"]["annotations"]["a"] for name in (OPERATOR, AGENT)
        ],
        ["1", "2"],
    ),
    (
        {"priorityClass": {"create": False, "name": "system-node-critical"}},
        lambda all_: (
            [name for name in all_ if name[0] == "PriorityClass"],
            {pod(all_, name)["priorityClassName"] for name in (OPERATOR, AGENT)},
        ),
        ([], {"system-node-critical"}),
    ),
    ({"networkPolicy": {"enabled": False}}, lambda all_: ("NetworkPolicy", "vmferry") in all_, False),
    (
        {"networkPolicy": {"apiServerPorts": [16443], "metricsFrom": [{"podSelector": LABEL}]}},
        lambda all_: (
            all_["NetworkPolicy", "vmferry"]["spec"]["egress"],
            all_["NetworkPolicy", "vmferry"]["spec"]["ingress"][0]["from"],
        ),
        ([{"ports": [{"protocol": "TCP", "port": 16443}]}], [{"podSelector": LABEL}]),
    ),
    ({"crds": {"install": False}}, lambda all_: kinds(all_, "CustomResourceDefinition"), 0),
    ({"admission": {"enabled": False}}, lambda all_: kinds(all_, "ValidatingAdmissionPolicy"), 0),
    ({"admission": {"enabled": False}}, lambda all_: kinds(all_, "ValidatingAdmissionPolicyBinding"), 0),
    (
        {"admission": {"enabled": False, "vmsByNamespace": True}},
        lambda all_: [name for kind, name in all_ if kind == "ValidatingAdmissionPolicy"],
        ["vmferry-vms-by-namespace"],
    ),
    ({}, lambda all_: kinds(all_, "PodMonitor"), 0),
    ({"monitoring": {"enabled": True}}, lambda all_: kinds(all_, "PodMonitor"), 2),
    (
        {"monitoring": {"enabled": True, "labels": {"release": "prometheus", "number": "1"}}},
        lambda all_: {
            name: each["metadata"]["labels"]["number"]
            for name, each in all_.items()
            if each["metadata"]["labels"].get("release") == "prometheus"
        },
        {
            ("PodMonitor", "vmferry-operator"): "1",
            ("PodMonitor", "vmferry-agent"): "1",
            ("PrometheusRule", "vmferry"): "1",
        },
    ),
]


def kinds(objects, kind):
    return sum(each == kind for each, _ in objects)


@pytest.mark.parametrize(("values", "look", "wanted"), CASES, ids=lambda each: str(each)[:60])
def test_a_value_does_what_it_says(chart, values, look, wanted):
    assert look(chart(values)) == wanted


def leaves(values, schema):
    """The places of all values, as far as the schema names their parts."""
    for name, value in values.items():
        parts = schema["properties"][name]
        if "properties" in parts:
            yield from (f"{name}.{each}" for each in leaves(value, parts))
        else:
            yield name


def test_the_page_on_installing_has_each_value_and_no_other():
    page = (MANIFESTS.parent / "docs" / "install.md").read_text()
    table = page.split("| value | default | |\n")[1].split("\n\n")[0]
    named = {name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1])}
    together = {f"{of}.{what}" for of in ("operator", "agent") for what in ("resources", "config")}
    assert named - together == {x for x in leaves(VALUES, SCHEMA) if x.rpartition(".")[0] not in together}
    assert together <= named


def test_the_page_on_installing_has_each_overlay_and_component():
    page = (MANIFESTS.parent / "docs" / "install.md").read_text()
    for kustomization in MANIFESTS.glob("[oc]*/*/kustomization.yaml"):
        assert f"| `manifests/{kustomization.parent.relative_to(MANIFESTS)}` |" in page


def test_each_value_has_a_case_here():
    def given(values, before=""):
        for name, value in values.items():
            yield before + name
            if isinstance(value, dict):
                yield from given(value, f"{before}{name}.")

    tried = {place for values, *_ in [*CASES, (HA,)] for place in given(values)}
    assert set(leaves(VALUES, SCHEMA)) - tried == {"operator.image.name"}  # as the agent's


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"operator": {"replica": 3}}, "at '/operator': additional properties 'replica' not allowed"),
        ({"operator": {"replicas": "two"}}, "at '/operator/replicas': got string, want integer"),
        ({"agent": {"libvirtGroup": "libvirt"}}, "at '/agent/libvirtGroup': got string, want integer"),
        ({"agent": {"config": {"node": "a"}}}, "at '/agent/config': additional properties 'node' not"),
        ({"agent": {"config": {"connect-uri": None}}}, "at '/agent/config': missing property 'connect-uri'"),
        ({"agent": {"image": {"digest": "latest"}}}, "at '/agent/image/digest': 'latest' does not match"),
        ({"agent": {"maxUnavailable": 0}}, "at '/agent/maxUnavailable'"),
        (
            {"monitoring": {"labels": {"release": 1}}},
            "at '/monitoring/labels/release': got number, want string",
        ),
        ({"networkPolicy": {"apiServerPorts": []}}, "at '/networkPolicy/apiServerPorts': minItems"),
        # Helm's way to remove a value, which would let everything out, or run the agents in root's group
        ({"networkPolicy": {"apiServerPorts": None}}, "missing property 'apiServerPorts'"),
        ({"agent": {"libvirtGroup": None}}, "at '/agent': missing property 'libvirtGroup'"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(rendered, values, said):
    assert said in rendered(values)


@pytest.mark.parametrize(
    ("component", "options", "given_by_the_templates"),
    [
        ("operator", operator_options, {"namespace", "health-port"}),
        ("agent", agent_options, {"namespace", "health-port", "node", "record-traces"}),
    ],
)
def test_all_flags_can_be_set_but_those_that_the_templates_give(component, options, given_by_the_templates):
    flags = {each.opts[0].removeprefix("--") for each in options(lambda: None).__click_params__}
    known = set(SCHEMA["properties"][component]["properties"]["config"]["properties"])
    assert known == flags - {"config"} - given_by_the_templates


def test_whoever_installs_is_told_what_to_do_next(helm):
    values = ["--set", "operator.replicas=1,admission.enabled=false,agent.libvirtGroup=7"]
    said = helm("install", "vmferry", str(CHART), "-n", "elsewhere", "--dry-run=client", *values).stdout
    notes = said.partition("NOTES:\n")[2]
    assert "kubectl label node NODE vmferry.io/libvirt-host=true\n" in notes
    assert "as group 7 " in notes
    assert re.search(r"one replica .*The admission policies are off", notes, re.DOTALL)
