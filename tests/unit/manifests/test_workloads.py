"""What the manifests start is what there is: commands, flags, ports, paths, versions, labels."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.config.incluster_config import SERVICE_CERT_FILENAME, SERVICE_TOKEN_FILENAME
from objects_by_name import by_name

from generate_chart import MANIFESTS, NAMESPACE, kustomized
from vmferry_agent.configuration import CheckConfiguration, check_options
from vmferry_agent.configuration import Configuration as AgentConfiguration
from vmferry_agent.configuration import options as agent_options
from vmferry_agent.main import main as agent_command
from vmferry_kube.health import HealthServer
from vmferry_operator.configuration import Configuration as OperatorConfiguration
from vmferry_operator.configuration import options as operator_options

ROOT = MANIFESTS.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
BASE = by_name(kustomized(MANIFESTS / "base"))
MONITORING = by_name(kustomized(MANIFESTS / "monitoring"))
WORKLOADS = {"operator": BASE["Deployment", "vmferry-operator"], "agent": BASE["DaemonSet", "vmferry-agent"]}
OPTIONS = {"operator": operator_options, "agent": agent_options}
GIVEN = {"VMFERRY_NODE": "node-a", "HOST_IP": "10.0.0.7", "VMFERRY_NAMESPACE": NAMESPACE}
"""What the kubelet gives."""


def template(component):
    return WORKLOADS[component]["spec"]["template"]


def container(component):
    (only,) = template(component)["spec"]["containers"]
    return only


def options_of(component):
    return {each.envvar: each for each in OPTIONS[component](lambda: None).__click_params__}


def environment(component):
    """As the kubelet makes it."""
    return {each["name"]: each.get("value") or GIVEN[each["name"]] for each in container(component)["env"]}


def arguments(component):
    """As the kubelet makes them."""
    made = environment(component)
    given = container(component).get("args", [])
    return [re.sub(r"\$\((\w+)\)", lambda name: made[name[1]], each) for each in given]


def test_the_agent_s_arguments_and_variables_are_a_configuration_and_nothing_else(configuring):
    command, *flags = arguments("agent")
    assert command in agent_command.commands
    made = configuring(agent_options, AgentConfiguration, "agent.yaml")(
        *flags, environment=environment("agent")
    )
    assert (made.node, made.namespace, made.connect_uri) == (
        "node-a",
        NAMESPACE,
        "qemu+tls://10.0.0.7/system",
    )
    assert environment("agent").keys() - {"HOST_IP"} <= options_of("agent").keys()


def test_whoever_looks_at_an_agent_in_its_pod_need_say_nothing(configuring):
    made = configuring(check_options, CheckConfiguration, "agent.yaml")(environment=environment("agent"))
    assert (made.node, made.namespace, made.connect_uri) == ("node-a", NAMESPACE, None)


def test_the_operator_s_variables_are_a_configuration_and_nothing_else(configuring):
    flags, variables = arguments("operator"), environment("operator")
    made = configuring(operator_options, OperatorConfiguration, "operator.yaml")(
        *flags, environment=variables
    )
    assert made.namespace == NAMESPACE
    assert variables.keys() <= options_of("operator").keys()


@pytest.mark.parametrize("component", WORKLOADS)
def test_the_port_is_the_one_that_the_command_listens_at(component):
    port = options_of(component)["VMFERRY_HEALTH_PORT"].default
    assert container(component)["ports"] == [{"name": "health", "containerPort": port}]


@pytest.mark.parametrize("component", WORKLOADS)
def test_probes_ask_for_what_is_served(component):
    async def nothing():
        return []

    server = HealthServer(dead=list, not_ready=nothing, metrics=bytes)
    served = {each.resource.canonical for each in server._runner.app.router.routes()}
    probes = {kind: container(component)[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")}
    assert probes == {
        "liveness": {"path": "/healthz", "port": "health"},  # the process alone
        "readiness": {"path": "/readyz", "port": "health"},
    }
    assert {each["path"] for each in probes.values()} <= served


@pytest.mark.parametrize("component", WORKLOADS)
def test_prometheus_finds_the_pods(component):
    monitor = MONITORING["PodMonitor", f"vmferry-{component}"]
    labels = template(component)["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["metadata"]["namespace"] == WORKLOADS[component]["metadata"]["namespace"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] in {each["name"] for each in container(component)["ports"]}


@pytest.mark.parametrize("component", WORKLOADS)
def test_what_selects_pods_selects_these_and_not_the_others(component):
    labels = template(component)["metadata"]["labels"]
    (other,) = WORKLOADS.keys() - {component}
    selector = WORKLOADS[component]["spec"]["selector"]["matchLabels"].items()
    assert selector <= labels.items()
    assert not selector <= template(other)["metadata"]["labels"].items()


def test_the_budget_is_the_operator_s_and_the_network_policy_everybody_s():
    budget = BASE["PodDisruptionBudget", "vmferry-operator"]["spec"]["selector"]
    assert budget == WORKLOADS["operator"]["spec"]["selector"]
    (spread,) = template("operator")["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == WORKLOADS["operator"]["spec"]["selector"]
    policy = BASE["NetworkPolicy", "vmferry"]["spec"]["podSelector"]["matchLabels"].items()
    assert all(policy <= template(each)["metadata"]["labels"].items() for each in WORKLOADS)


@pytest.mark.parametrize("component", WORKLOADS)
def test_the_account_is_there(component):
    name = template(component)["spec"]["serviceAccountName"]
    assert BASE["ServiceAccount", name]["metadata"]["namespace"] == NAMESPACE


def mounts(component):
    """Each volume by where it is mounted; all of them may be read alone."""
    volumes = {each["name"]: each for each in template(component)["spec"]["volumes"]}
    mounted = {each["mountPath"]: volumes.pop(each["name"]) for each in container(component)["volumeMounts"]}
    assert all(each["readOnly"] for each in container(component)["volumeMounts"])
    assert volumes == {}
    return mounted


def test_the_agent_gets_directories_of_its_host_and_may_write_to_none():
    of_the_host = {path: each["hostPath"] for path, each in mounts("agent").items() if "hostPath" in each}
    assert of_the_host == {
        "/run/libvirt": {"path": "/run/libvirt", "type": "Directory"},
        "/etc/pki": {"path": "/etc/pki", "type": "DirectoryOrCreate"},
    }
    assert not [each for each in mounts("operator").values() if "hostPath" in each]


@pytest.mark.parametrize("component", WORKLOADS)
def test_a_token_for_an_hour_lies_where_clients_look_for_it_and_none_is_mounted_by_itself(component):
    assert template(component)["spec"]["automountServiceAccountToken"] is False
    several = mounts(component)[str(Path(SERVICE_TOKEN_FILENAME).parent)]["projected"]["sources"]
    token, authority, namespace = (next(iter(each.values())) for each in several)
    assert token == {"path": Path(SERVICE_TOKEN_FILENAME).name, "expirationSeconds": 3600}
    assert authority["items"] == [{"key": "ca.crt", "path": Path(SERVICE_CERT_FILENAME).name}]
    (field,) = namespace["items"]  # by which kubectl and its like know their own
    assert field == {"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}


def test_every_image_and_the_chart_are_of_this_version():
    files = [each for each in MANIFESTS.rglob("*") if each.suffix in {".yaml", ".json"}]
    named = {
        (str(file.relative_to(MANIFESTS)), tag)
        for file in files
        for tag in re.findall(r"vmferry-(?:operator|agent):([\w.+-]+)", file.read_text())
    }
    assert named >= {("base/operator-deployment.yaml", VERSION), ("base/agent-daemonset.yaml", VERSION)}
    assert {tag for _, tag in named} == {VERSION}
    chart = yaml.safe_load((MANIFESTS / "chart" / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


@pytest.mark.parametrize("component", WORKLOADS)
def test_a_pod_is_started_as_its_image_is_made(component):
    stage = "operator" if component == "operator" else "node-agent"
    text = (ROOT / "Dockerfile").read_text()
    built = re.search(rf"^FROM python AS {stage}\n(.*?)(?=^FROM |\Z)", text, re.MULTILINE | re.DOTALL)
    assert built is not None
    context = template(component)["spec"]["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in built[1]
    assert f'ENTRYPOINT ["vmferry-{component}"]\n' in built[1]


def test_the_page_on_installing_names_this_version_s_images():
    named = re.findall(r"vmferry-(?:operator|agent):(\d[\w.]*)", (ROOT / "docs" / "install.md").read_text())
    assert set(named) == {VERSION}
