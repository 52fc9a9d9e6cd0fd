"""Policies from files: what is taken, what they are called, and what is refused in which words."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from simulated_guests import PRESETS

from kubectl_vmferry.policy_files import PolicyFileError, read_policies
from vmferry_api import API_VERSION


def text(name="p", **spec) -> str:
    return yaml.safe_dump(
        {"apiVersion": API_VERSION, "kind": "MigrationPolicy", "metadata": {"name": name}, "spec": spec}
    )


def labels(*files: tuple[str, str]) -> list[str]:
    return [each.label for each in read_policies(files)]


def test_every_preset_can_be_read():
    assert len(labels(*((path.name, path.read_text()) for path in PRESETS))) == len(PRESETS) == 10


LIST = yaml.safe_dump({"kind": "List", "items": [yaml.safe_load(text("x")), {"kind": "Namespace"}, 7]})


@pytest.mark.parametrize(
    ("files", "names"),
    [
        ([("a", text("x"))], ["x"]),
        ([("a", text("x") + "---\n" + text("y"))], ["x", "y"]),
        ([("a", LIST)], ["x"]),
        ([("a", "---\nkind: Namespace\n---\n" + text("x"))], ["x"]),
        ([("old", text("x")), ("new", text("x")), ("z", text("y"))], ["x (old)", "x (new)", "y"]),
        ([("a", text("x")), ("a", text("x"))], ["x (a)", "x (a) #2"]),
    ],
)
def test_policies_are_called_by_name_and_two_versions_of_one_by_their_files_too(files, names):
    assert labels(*files) == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "f: there is no MigrationPolicy of vmferry.io/v1alpha1 in it"),
        ("- 1", "f: there is no MigrationPolicy of vmferry.io/v1alpha1 in it"),
        ("kind: List\nitems: 7", "f: there is no MigrationPolicy of vmferry.io/v1alpha1 in it"),
        ("a: [", "f: not YAML: "),
        ("a: !!timestamp 2026-99-99", "f: not YAML: "),
        ("a: !!int x", "f: not YAML: "),
        ("a: 2026-99-99", "f: there is no MigrationPolicy"),
        ("[" * 1000, "f: not YAML: "),
        ("\0", "f: not YAML: "),
        (text(None), "f: a MigrationPolicy needs metadata.name"),
        (text(7), "f: a MigrationPolicy needs metadata.name"),
        (text(maxDowntme="1s"), "f: p: spec.maxDowntme: Extra inputs are not permitted"),
        (text(maxDowntime="soon"), "f: p: spec.maxDowntime: Value error, 'soon' is not a duration"),
        (text(bandwidth={"perMigration": "fast"}), "f: p: spec.bandwidth.perMigration: Value error, 'fast'"),
        (text(steps=[{}]), "f: p: spec.steps[0].after: Field required"),
        (
            text(steps=[{"after": {}, "abort": {}}]),
            "f: p: spec.steps[0].after: after needs exactly one of stalled, passes, elapsed, elapsedPerGiB",
        ),
        (
            text(steps=[{"after": {"passes": 1}}]),
            "f: p: spec.steps[0]: a step needs exactly one of setMaxDowntime, setBandwidth, restart, ",
        ),
        (
            text(steps=[{"after": {"passes": 1}, "abort": {}, "suspend": {}}]),
            "f: p: spec.steps[0]: a step needs exactly one of ",
        ),
        (
            text(steps=[{"after": {"passes": 1}, "abort": {}}], agentDowntimeRamp={"max": "1s", "steps": 3}),
            "f: p: spec: steps, objective and agentDowntimeRamp exclude each other",
        ),
        (text(agentDowntimeRamp={"max": "1s", "steps": 1}), "f: p: spec.agentDowntimeRamp.steps: "),
        (
            text().replace("name: p", "name: p\n  labels: {x y: z}"),
            "f: p: metadata.labels: 'x y' can't be a key",
        ),
        (text() + "status: {foo: 1}", "f: p: status.foo: there is no such field"),
        (text().replace("name: p", "name: p\n  lables: {}"), "did you mean labels?"),
        (text(max_downtime="1s"), "f: p: spec.max_downtime: Extra inputs are not permitted"),
        (text(priority="5"), "f: p: spec.priority: Input should be a valid integer"),
        (text(globalDefault="yes"), "f: p: spec.globalDefault: Input should be a valid boolean"),
        (text(description=[{b"x": 1}]), "f: p: not JSON: "),
        (
            text(maxDowntime="2001s"),
            "f: p: spec.maxDowntime: maxDowntime must be a duration such as 100ms, from 1ms to 2000s",
        ),
        (
            text(maxDowntime="100ms", objective={"maxDowntime": "1s"}),
            "f: p: spec.maxDowntime: maxDowntime and objective exclude each other: use objective.maxDowntime",
        ),
        (
            text(bandwidth={"perMigration": "50Mi"}, steps=[{"after": {"passes": 2}, "setBandwidth": 5}]),
            "is no cap to raise); spec.steps[0].setBandwidth: setBandwidth must be a quantity such as 400Mi, from",
        ),
        (
            text(selector={"vms": {"matchLabels": {"a": "b c"}}}),
            "f: p: spec.selector.vms.matchLabels.a: no label can have this value",
        ),
        (text(retry={"thenPolicy": "p"}), "f: p: spec.retry.thenPolicy: retry.thenPolicy must name another"),
    ],
)
def test_what_is_no_policy_is_refused_with_the_file_the_place_and_the_reason(given, message):
    with pytest.raises(PolicyFileError) as refused:
        read_policies([("f", given)])
    assert message in str(refused.value)


def test_what_is_null_is_not_there():
    (read,) = read_policies([("f", text(start=None, objective={"maxDowntime": "1s", "allow": None}))])
    assert read.policy.spec.start is None


@pytest.mark.parametrize("spec", ["[1]", "[]", "7", "false"])
def test_a_spec_that_is_no_object_is_refused(spec):
    with pytest.raises(PolicyFileError, match="f: p: spec: Input should be an object"):
        read_policies([("f", text().replace("spec: {}", f"spec: {spec}"))])


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode(errors="replace")))
def test_whatever_stands_in_a_file_it_is_read_or_refused(given):
    with pytest.raises(PolicyFileError):
        read_policies([("f", given)])


@pytest.mark.parametrize("number", ["1e2", "100.0", "0o144", "0x64", "1_00"])
def test_a_whole_number_is_read_however_it_is_written(number):
    (read,) = read_policies([("f", text().replace("spec: {}", f"spec: {{priority: {number}}}"))])
    assert read.policy.spec.priority == 100


def test_a_policy_whose_name_is_generated_is_read():
    assert labels(("f", text().replace("name: p", "generateName: p-"))) == ["p-"]
