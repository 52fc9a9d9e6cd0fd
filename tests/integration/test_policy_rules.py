"""What can never be right in a MigrationPolicy is refused by the API server, with a message that helps."""

import json
from pathlib import Path

import pytest
import yaml

from kubectl_vmferry.policy_files import PolicyFileError, read_policies
from vmferry_api import API_VERSION, GROUP, VERSION
from vmferry_api.crd.schema import structural_schema
from vmferry_api.owners import OPERATOR
from vmferry_api.policies import AutoConverge, MigrationPolicy, StartOptions
from written_values import DURATIONS, NO_DURATIONS, NO_QUANTITIES, QUANTITIES

MANIFESTS = Path(__file__).parents[2] / "manifests/policies"
STALLED = {"stalled": "10s"}
STEP = {"after": STALLED, "setMaxDowntime": "500ms"}
PRESETS = sorted(set(MANIFESTS.glob("*.yaml")) - {MANIFESTS / "kustomization.yaml"})


def steps(*several):
    return {"steps": list(several)}


def step(**parts):
    return steps({"after": {"stalled": "10s"}, **parts})


def start(**options):
    return {"start": options}


def restart(**options):
    return {"after": {"elapsed": "5m"}, "restart": {"start": options}}


def vms(**requirement):
    return {"selector": {"vms": {"matchExpressions": [{"key": "tier", **requirement}]}}}


GOOD = {
    "nothing": {},
    "a ladder": {
        "description": "for tests",
        "globalDefault": True,
        "priority": -5,
        "bandwidth": {"perMigration": "200Mi", "perNode": 1073741824, "postCopy": "1G"},
        "maxDowntime": "100ms",
        "stallingLimit": "10s",
        "progressTimeout": "2m30s",
        "timeout": {"base": "10m", "perGiB": "150s"},
        "minStepInterval": "10s",
        "steps": [
            {"after": STALLED, "setMaxDowntime": "150ms"},
            {"after": {"passes": 8}, "setBandwidth": "400Mi"},
            {"after": {"elapsed": "5m"}, "restart": {"start": {"compression": {"method": "XBZRLE"}}}},
            {"after": {"stalled": "10s"}, "switchToPostCopy": {}},
            {"after": {"elapsedPerGiB": "150s"}, "suspend": {}},
            {"after": {"stalled": "0s"}, "abort": {}},
        ],
    },
    "an objective": {
        "objective": {
            "preferredDowntime": "100ms",
            "maxDowntime": "500ms",
            "completeWithin": "10m",
            "completeWithinPerGiB": "15s",
            "allow": ["AutoConverge", "PostCopy", "Suspend"],
            "throttle": "Hard",
            "postCopy": "AfterFirstPass",
            "otherwise": "KeepTrying",
        }
    },
    "the agent's ramp": {"agentDowntimeRamp": {"max": "500ms", "steps": 5}},
    "everything at the start": start(
        autoConverge={"initial": 20, "increment": 10},
        compression={"method": "Zstd"},
        parallelConnections=4,
        encryption="Required",
    ),
    "xbzrle": start(compression={"method": "XBZRLE", "cacheSize": "64Mi"}),
    "zero copy": start(parallelConnections=2, zeroCopy=True, encryption="Disabled"),
    "a selector": {
        "selector": {
            "vms": {
                "matchLabels": {"tier": "db"},
                "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
            },
            "names": ["db-*"],
            "namespaces": {"matchLabels": {}},
        },
        "concurrency": {"outgoingPerNode": 2, "incomingPerNode": 2, "perCluster": 20},
        "postCopyRecovery": {"attempts": 10, "backoff": "5s"},
        "retry": {"attempts": 3, "backoff": "20s", "thenPolicy": "post-copy"},
    },
    "a selector with every operator": {
        "selector": {
            "vms": {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["b", "c"]},
                    {"key": "a", "operator": "NotIn", "values": ["d"]},
                    {"key": "a", "operator": "Exists"},
                    {"key": "a", "operator": "DoesNotExist", "values": []},
                ]
            }
        }
    },
    "a selector of everything": {"selector": {}},
    "the hardest throttle": start(autoConverge={"initial": 90, "increment": 9}),
    "a full throttle at once": start(autoConverge={"initial": 99}),
    "post-copy as the last try": {"retry": {"attempts": 2, "thenPolicy": "post-copy"}},
    "less by a deadline than the ladder before it": steps(
        STEP, {"after": {"elapsed": "5m"}, "setMaxDowntime": "400ms"}
    ),
    "the same by two triggers, the ladder's first": steps(
        {"after": STALLED, "suspend": {}}, {"after": {"elapsed": "5m"}, "suspend": {}}
    ),
    "the same once more after a restart": steps(
        {"after": STALLED, "switchToPostCopy": {}},
        restart(autoConverge={"initial": 60}),
        {"after": STALLED, "switchToPostCopy": {}},
    ),
    "more by each pass, in whatever order": steps(
        {"after": {"passes": 6}, "setMaxDowntime": "500ms"},
        {"after": {"passes": 5}, "setMaxDowntime": "400ms"},
    ),
    "a ladder by the clock before the timeout": {
        "timeout": {"base": "10m", "perGiB": "60s"},
        **steps(
            {"after": {"elapsedPerGiB": "60s"}, "setMaxDowntime": "400ms"},
            {"after": {"elapsed": "10m"}, "setMaxDowntime": "500ms"},
            {"after": {"passes": 9}, "abort": {}},
        ),
    },
    "a restart and one back": {
        **start(autoConverge={}),
        **steps(restart(autoConverge={"initial": 60}), restart(autoConverge={"initial": 20})),
    },
    "a restart that takes an option back": {
        **start(encryption="Required"),
        **steps(restart(encryption="Disabled")),
    },
    "labels with prefixes and without values": {
        "selector": {
            "vms": {
                "matchLabels": {"example.com/Tier_1": "", "a": "B.c-d_e"},
                "matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux", ""]}],
            }
        }
    },
    "a migration may have all that its node has": {"bandwidth": {"perMigration": "1Gi", "perNode": "1024Mi"}},
    "a restart that makes the start's options whole": {
        **start(parallelConnections=4),
        **steps(restart(compression={"method": "Zstd"})),
    },
    "a restart that takes back what it can't go with": {
        **start(parallelConnections=4, zeroCopy=True),
        **steps(restart(compression={"method": "Zlib"}, zeroCopy=False, encryption="Required")),
    },
    "a ladder of sixteen rungs": {
        "maxDowntime": "100ms",
        "bandwidth": {"perMigration": "1Mi"},
        **steps(
            *({"after": STALLED, "setMaxDowntime": f"{200 + n}ms"} for n in range(8)),
            *({"after": STALLED, "setBandwidth": f"{2 + n}Mi"} for n in range(8)),
        ),
    },
    "an objective that keeps trying needs no detection of stalling": {
        "stallingLimit": "0s",
        "objective": {"maxDowntime": "20ms", "otherwise": "KeepTrying"},
    },
    "a bound beyond the deadline": {
        "timeout": {"base": "10m"},
        "objective": {"maxDowntime": "1s", "completeWithin": "10m", "completeWithinPerGiB": "15s"},
    },
    "a bound that grows with the VM": {
        "timeout": {"base": "1m", "perGiB": "30s"},
        "objective": {"maxDowntime": "1s", "completeWithin": "10m"},
    },
    "no bound": {
        "timeout": {"base": "0s"},
        "objective": {"maxDowntime": "1s", "completeWithin": "10m"},
    },
    "stalling off, and no step that waits for it": {
        "stallingLimit": "0s",
        **steps({"after": {"elapsed": "5m"}, "abort": {}}),
    },
}


@pytest.mark.parametrize("spec", GOOD.values(), ids=GOOD)
def test_a_policy_that_makes_sense_is_accepted(refusals, spec):
    assert refusals("MigrationPolicy", spec) == ""


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_the_presets_are_accepted(refusals, preset):
    assert refusals("MigrationPolicy", yaml.safe_load(preset.read_text())["spec"]) == ""


RISE = "setMaxDowntime must be above the policy's maxDowntime (300ms unless given)"
RISE_FURTHER = "setMaxDowntime must be above that of every step that is sure to be taken before"
WIDEN = "setBandwidth must be above bandwidth.perMigration"
WIDEN_FURTHER = "setBandwidth must be above that of every step that is sure to be taken before"
TWICE = "switchToPostCopy or suspend repeats a step that is sure to be taken before"
TOO_LATE = "a step that is due later than abort can't be reached"
SAME_AGAIN = "a restart must change at least one option of start"
NO_LABEL = "labels that can be: a key such as tier or example.com/tier"
NO_LABEL_VALUE = "no label can have this value"
OVER = "a restart's options hold over those of start: "
BAD = [
    ({"maxDowntime": "1week"}, "maxDowntime must be a duration such as 100ms, from 1ms to 2000s"),
    ({"maxDowntime": "0s"}, "maxDowntime must be a duration"),
    ({"maxDowntime": "2001s"}, "maxDowntime must be a duration"),
    ({"maxDowntime": 300}, "must be of type string"),
    ({"stallingLimit": "-1s"}, "stallingLimit must be a duration such as 10s, from 0s to 168h"),
    ({"progressTimeout": "soon"}, "progressTimeout must be a duration such as 150s"),
    ({"minStepInterval": "169h"}, "minStepInterval must be a duration"),
    ({"timeout": {"base": "x"}}, "base must be a duration such as 10m"),
    ({"timeout": {"perGiB": "x"}}, "perGiB must be a duration such as 150s"),
    (
        {"bandwidth": {"perMigration": "fast"}},
        "perMigration must be a quantity such as 200Mi, from 1Mi to 1Ti",
    ),
    ({"bandwidth": {"perMigration": 1000}}, "perMigration must be a quantity"),
    ({"bandwidth": {"perNode": "2Ti"}}, "perNode must be a quantity such as 1Gi"),
    ({"bandwidth": {"postCopy": "4GB"}}, "postCopy must be a quantity such as 400Mi"),
    ({"bandwith": {}}, 'unknown field "spec.bandwith"'),
    ({"priority": 2_000_000}, "should be less than or equal to 1000000"),
    (
        {**steps(STEP), "objective": {"maxDowntime": "1s"}},
        "steps, objective and agentDowntimeRamp exclude each other",
    ),
    ({**steps(STEP), "agentDowntimeRamp": {}}, "steps, objective and agentDowntimeRamp exclude each other"),
    ({"maxDowntime": "1s", "agentDowntimeRamp": {}}, "maxDowntime and agentDowntimeRamp exclude each other"),
    ({"maxDowntime": "1s", "objective": {"maxDowntime": "1s"}}, "use objective.maxDowntime"),
    ({"stallingLimit": "0s", **steps(STEP)}, "stallingLimit: 0s turns the detection of stalling off"),
    (steps({"after": {"stalled": "1s"}, "abort": {}}, STEP), "abort must be the last step"),
    (
        steps({"after": {"stalled": "1s"}}),
        "a step needs exactly one of setMaxDowntime, setBandwidth, restart",
    ),
    (step(setMaxDowntime="1s", abort={}), "a step needs exactly one of"),
    (steps({"after": {}, "abort": {}}), "after needs exactly one of stalled, passes, elapsed, elapsedPerGiB"),
    (steps({"after": {"stalled": "1s", "passes": 2}, "abort": {}}), "after needs exactly one of"),
    (steps({"abort": {}}), "spec.steps[0].after: Required value"),
    (steps({"after": {"stalled": "soon"}, "abort": {}}), "stalled must be a duration"),
    (steps({"after": {"passes": 0}, "abort": {}}), "should be greater than or equal to 1"),
    (steps({"after": {"elapsed": "x"}, "abort": {}}), "elapsed must be a duration such as 5m"),
    (steps({"after": {"elapsedPerGiB": "x"}, "abort": {}}), "elapsedPerGiB must be a duration such as 150s"),
    (step(setMaxDowntime="0s"), "setMaxDowntime must be a duration such as 150ms, from 1ms to 2000s"),
    (step(setBandwidth="0"), "setBandwidth must be a quantity such as 400Mi"),
    (step(switchToPostcopy={}), 'unknown field "spec.steps[0].switchToPostcopy"'),
    (steps(), "should have at least 1 items"),
    (steps(*[STEP] * 17), "must have at most 16 items"),
    (start(compression={"method": "Zstd"}), "compression by Zlib or Zstd needs parallelConnections"),
    (
        start(compression={"method": "XBZRLE"}, parallelConnections=2),
        "XBZRLE and parallelConnections exclude each other",
    ),
    (
        start(compression={"method": "Zlib", "cacheSize": "64Mi"}, parallelConnections=2),
        "cacheSize is XBZRLE's",
    ),
    (start(compression={"method": "LZ4"}), "Unsupported value"),
    (start(compression={"method": "XBZRLE", "cacheSize": "x"}), "cacheSize must be a quantity such as 64Mi"),
    (start(zeroCopy=True), "zeroCopy needs parallelConnections"),
    (
        start(zeroCopy=True, parallelConnections=2, compression={"method": "Zstd"}),
        "zeroCopy and compression exclude each other",
    ),
    (
        start(zeroCopy=True, parallelConnections=2, encryption="Required"),
        "zeroCopy and encryption: Required exclude each other",
    ),
    (start(parallelConnections=0), "should be greater than or equal to 1"),
    (start(autoConverge={"initial": 100}), "should be less than or equal to 99"),
    (vms(operator="In"), "In and NotIn need values"),
    (vms(operator="NotIn", values=[]), "In and NotIn need values"),
    (vms(operator="Exists", values=["db"]), "Exists and DoesNotExist take no values"),
    (vms(operator="DoesNotExist", values=["db"]), "Exists and DoesNotExist take no values"),
    (
        {"selector": {"namespaces": {"matchExpressions": [{"key": "a", "operator": "In"}]}}},
        "In and NotIn need values",
    ),
    (
        start(autoConverge={"initial": 95, "increment": 10}),
        "initial and increment together must not exceed 99",
    ),
    (start(autoConverge={"increment": 80}), "initial and increment together must not exceed 99"),
    (
        steps(restart(autoConverge={"initial": 50, "increment": 50})),
        "initial and increment together must not exceed 99",
    ),
    (steps({"after": STALLED, "setMaxDowntime": "300ms"}), RISE),
    ({"maxDowntime": "1s", **steps(STEP)}, RISE),
    ({"maxDowntime": "1s", **steps({"after": {"passes": 3}, "setMaxDowntime": "999ms"})}, RISE),
    (steps(STEP, STEP), RISE_FURTHER),
    (steps({"after": {"elapsed": "5m"}, "setMaxDowntime": "2s"}, STEP), RISE_FURTHER),
    (
        steps(
            {"after": {"passes": 5}, "setMaxDowntime": "500ms"},
            {"after": {"passes": 6}, "setMaxDowntime": "400ms"},
        ),
        RISE_FURTHER,
    ),
    (
        steps(
            {"after": {"elapsed": "10m"}, "setMaxDowntime": "500ms"},
            {"after": {"elapsed": "60s"}, "setMaxDowntime": "500ms"},
        ),
        RISE_FURTHER,
    ),
    (steps(*[{"after": {"elapsedPerGiB": "60s"}, "setMaxDowntime": "500ms"}] * 2), RISE_FURTHER),
    (
        steps({"after": {"elapsed": "5m"}, "suspend": {}}, {"after": {"elapsed": "300s"}, "suspend": {}}),
        TWICE,
    ),
    (
        steps({"after": {"passes": 9}, "setMaxDowntime": "1s"}, {"after": {"passes": 8}, "abort": {}}),
        TOO_LATE,
    ),
    (
        {"timeout": {"base": "5m"}, **steps({"after": {"elapsed": "10m"}, "suspend": {}})},
        "a step `elapsed` must be due before timeout.base ends the attempt",
    ),
    (
        {"timeout": {"perGiB": "60s"}, **steps({"after": {"elapsedPerGiB": "60s"}, "suspend": {}})},
        "a step `elapsedPerGiB` must be due before timeout.perGiB ends the attempt",
    ),
    (
        {**start(autoConverge={}), **steps(restart(autoConverge={"initial": 20, "increment": 10}))},
        SAME_AGAIN,
    ),
    (
        {
            **start(compression={"method": "XBZRLE", "cacheSize": "64Mi"}),
            **steps(restart(compression={"method": "XBZRLE", "cacheSize": "64Mi"})),
        },
        SAME_AGAIN,
    ),
    ({**start(parallelConnections=4), **steps(restart(parallelConnections=4))}, SAME_AGAIN),
    (steps(restart(zeroCopy=False, encryption="Disabled")), SAME_AGAIN),
    (
        {"objective": {"maxDowntime": "1s", "throttle": "Hard", "allow": ["PostCopy"]}},
        "throttle: Hard needs AutoConverge in allow",
    ),
    (
        {"bandwidth": {"perMigration": "2Gi", "perNode": "1Gi"}},
        "perMigration must not exceed perNode, of which each migration gets a share",
    ),
    ({"selector": {"vms": {"matchLabels": {"a b": "c"}}}}, "matchLabels must name " + NO_LABEL),
    ({"selector": {"namespaces": {"matchLabels": {"A/b": "c"}}}}, "matchLabels must name " + NO_LABEL),
    ({"selector": {"vms": {"matchLabels": {"a": "b c"}}}}, NO_LABEL_VALUE),
    (
        {"selector": {"vms": {"matchExpressions": [{"key": "", "operator": "Exists"}]}}},
        "key must name " + NO_LABEL,
    ),
    (vms(operator="In", values=["-"]), NO_LABEL_VALUE),
    (step(setBandwidth="400Mi"), WIDEN),
    ({"bandwidth": {"perNode": "1Gi"}, **step(setBandwidth="400Mi")}, WIDEN),
    ({"bandwidth": {"perMigration": "400Mi"}, **step(setBandwidth=419430400)}, WIDEN),
    (
        {
            "bandwidth": {"perMigration": "50Mi"},
            **steps({"after": STALLED, "setBandwidth": "1Gi"}, {"after": STALLED, "setBandwidth": "400Mi"}),
        },
        WIDEN_FURTHER,
    ),
    (steps({"after": {"elapsed": "5m"}, "suspend": {}}, {"after": STALLED, "suspend": {}}), TWICE),
    (
        steps({"after": STALLED, "switchToPostCopy": {}}, {"after": STALLED, "switchToPostCopy": {}}),
        TWICE,
    ),
    (steps(restart()), "a restart needs at least one start option to change"),
    (
        steps(restart(compression={"method": "XBZRLE"}, parallelConnections=2)),
        "XBZRLE and parallelConnections exclude each other",
    ),
    (steps(restart(compression={"method": "Zstd"})), OVER + "compression by Zlib or Zstd needs"),
    (steps(restart(zeroCopy=True)), OVER + "zeroCopy needs parallelConnections"),
    (
        {**start(compression={"method": "XBZRLE"}), **steps(restart(parallelConnections=4))},
        OVER + "XBZRLE and parallelConnections exclude each other",
    ),
    (
        {**start(parallelConnections=4, zeroCopy=True), **steps(restart(compression={"method": "Zstd"}))},
        OVER + "zeroCopy and compression exclude each other",
    ),
    (
        {**start(parallelConnections=4, encryption="Required"), **steps(restart(zeroCopy=True))},
        OVER + "zeroCopy and encryption: Required exclude each other",
    ),
    (
        {"minStepInterval": "10s", "objective": {"maxDowntime": "1s"}},
        "minStepInterval is for steps: objective and agentDowntimeRamp keep a pace of their own",
    ),
    ({"minStepInterval": "10s", "agentDowntimeRamp": {}}, "minStepInterval is for steps"),
    (
        {"objective": {"maxDowntime": "1s", "allow": ["Suspend", "Suspend"]}},
        "allow must name each technique once",
    ),
    (
        {"objective": {"maxDowntime": "1s", "postCopy": "AfterFirstPass"}},
        "postCopy: AfterFirstPass needs PostCopy in allow",
    ),
    (
        {"objective": {"maxDowntime": "1s", "postCopy": "AfterFirstPass", "allow": ["Suspend"]}},
        "postCopy: AfterFirstPass needs PostCopy in allow",
    ),
    (
        {"retry": {"attempts": 1, "thenPolicy": "x"}},
        "thenPolicy is the policy of the last of several attempts",
    ),
    ({"retry": {"thenPolicy": "dry-run"}}, "retry.thenPolicy must name another policy"),
    (
        {"objective": {"preferredDowntime": "1s", "maxDowntime": "500ms"}},
        "preferredDowntime must not exceed maxDowntime",
    ),
    ({"objective": {}}, "spec.objective.maxDowntime: Required value"),
    ({"objective": {"maxDowntime": "x"}}, "maxDowntime must be a duration such as 500ms"),
    (
        {"objective": {"maxDowntime": "1s", "completeWithin": "0s"}},
        "completeWithin must be a duration such as 10m",
    ),
    (
        {"objective": {"maxDowntime": "1s", "completeWithin": "10m", "completeWithinPerGiB": "x"}},
        "completeWithinPerGiB must be a duration such as 15s",
    ),
    (
        {"objective": {"maxDowntime": "1s", "completeWithinPerGiB": "15s"}},
        "completeWithinPerGiB is added to completeWithin; give that too",
    ),
    ({"objective": {"maxDowntime": "19ms"}}, "maxDowntime must be a duration such as 500ms, from 20ms to"),
    (
        {"stallingLimit": "0s", "objective": {"maxDowntime": "1s"}},
        "stallingLimit: 0s turns the detection of stalling off, without which an objective never gives up",
    ),
    (
        {"timeout": {"base": "5m"}, "objective": {"maxDowntime": "1s", "completeWithin": "10m"}},
        "timeout.base ends an attempt before objective.completeWithin",
    ),
    ({"objective": {"maxDowntime": "1s", "preferredDowntime": "x"}}, "preferredDowntime must be a duration"),
    ({"objective": {"maxDowntime": "1s", "allow": ["Magic"]}}, "Unsupported value"),
    ({"agentDowntimeRamp": {"max": "1ms"}}, "max must be a duration such as 500ms, from 10ms to 2000s"),
    ({"agentDowntimeRamp": {"steps": 1}}, "should be greater than or equal to 2"),
    ({"postCopyRecovery": {"backoff": "0s"}}, "backoff must be a duration such as 5s"),
    ({"retry": {"backoff": "0s"}}, "backoff must be a duration such as 20s"),
    ({"retry": {"attempts": 0}}, "should be greater than or equal to 1"),
    ({"retry": {"thenPolicy": "a/b"}}, "thenPolicy must be the name of an object such as post-copy"),
]


@pytest.mark.parametrize(("spec", "message"), BAD, ids=[message for _, message in BAD])
def test_a_policy_that_can_never_be_right_is_refused_with_the_way_out(refusals, spec, message):
    assert message in refusals("MigrationPolicy", spec)


def plugin_refusal(spec) -> str:
    """What `kubectl vmferry simulate` has against a policy; empty: nothing."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "MigrationPolicy",
        "metadata": {"name": "dry-run"},
        "spec": spec,
    }
    try:
        read_policies([("f", json.dumps(body))])
    except PolicyFileError as error:
        return str(error)
    return ""


def messages(schema) -> set[str]:
    """Those of all rules of a schema."""
    if isinstance(schema, list):
        return set[str]().union(*map(messages, schema))
    if not isinstance(schema, dict):
        return set()
    own = {rule["message"] for rule in schema.get("x-kubernetes-validations", [])}
    return own.union(*map(messages, schema.values()))


MESSAGES = messages(structural_schema(MigrationPolicy))
TABLE = [
    *GOOD.values(),
    *(spec for spec, _ in BAD),
    *({"progressTimeout": text} for text in (*DURATIONS, *NO_DURATIONS)),
    *(
        {"bandwidth": {"perMigration": value}}
        for value in (*QUANTITIES, *QUANTITIES.values(), *NO_QUANTITIES)
    ),
]


@pytest.mark.parametrize("spec", TABLE, ids=str)
def test_the_plugin_refuses_what_the_api_server_refuses_in_the_same_words(refusals, spec):
    here, there = plugin_refusal(spec), refusals("MigrationPolicy", spec)
    assert bool(here) == bool(there)
    told = {each for each in MESSAGES if each in here}
    assert told == ({each for each in MESSAGES if each in there} if told else set())


@pytest.mark.parametrize("text", DURATIONS)
def test_every_duration_that_the_types_can_read_is_accepted(refusals, text):
    assert refusals("MigrationPolicy", {"progressTimeout": text}) == ""


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_a_duration_that_the_types_can_t_read_is_refused(refusals, text):
    assert "progressTimeout" in refusals("MigrationPolicy", {"progressTimeout": text})


@pytest.mark.parametrize("value", [*QUANTITIES, *QUANTITIES.values()])
def test_every_quantity_that_the_types_can_read_is_accepted(refusals, value):
    assert refusals("MigrationPolicy", {"bandwidth": {"perMigration": value}}) == ""


@pytest.mark.parametrize("text", NO_QUANTITIES)
def test_a_quantity_that_the_types_can_t_read_is_refused(refusals, text):
    assert "perMigration" in refusals("MigrationPolicy", {"bandwidth": {"perMigration": text}})


def test_a_step_s_quantity_that_can_t_be_read_is_told_of_once(refusals):
    spec = {"bandwidth": {"perMigration": "50Mi"}, **step(setBandwidth="1e7")}
    assert "setBandwidth must be a quantity such as 400Mi" in refusals("MigrationPolicy", spec)
    assert WIDEN not in refusals("MigrationPolicy", spec)


def test_what_a_policy_may_say_of_the_start_the_operator_may_want_with_the_defaults_written_out(
    operator_api, migration
):
    desired = {
        "revision": 1,
        "state": "Migrate",
        "attempt": 1,
        "technique": "PreCopy",
        "stallingLimit": "10s",
        "progressTimeout": "150s",
        "start": StartOptions(auto_converge=AutoConverge(initial=99), zero_copy=False).as_json(),
    }
    name = migration["metadata"]["name"]
    written = operator_api.patch_namespaced_custom_object_status(
        GROUP,
        VERSION,
        "default",
        "vmmigrations",
        name,
        {"status": {"desired": desired}},
        field_manager=OPERATOR,
    )
    assert written["status"]["desired"]["start"]["autoConverge"] == {"initial": 99, "increment": 10}
