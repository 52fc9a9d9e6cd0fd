"""`kubectl vmferry simulate` as a user meets it."""

import json
import sys
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from simulated_guests import PRESETS, ROOT, TRACES, trace

from kubectl_vmferry.commands.simulate import VM_STAYS
from kubectl_vmferry.main import main
from kubectl_vmferry.output.table import tables
from kubectl_vmferry.policy_files import read_policies
from kubectl_vmferry.simulation.recording import read_recording
from kubectl_vmferry.simulation.replay import replay_setting
from kubectl_vmferry.simulation.simulate import simulate

EASY = [
    *("--memory", "1Gi", "--dirty-rate", "10Mi"),
    *("--working-set", "64Mi", "--bandwidth", "1Gi"),
]
HOPELESS = [
    *("--memory", "1Gi", "--dirty-rate", "2Gi", "--working-set", "900Mi"),
    *("--bandwidth", "200Mi", "--until", "12s"),
]
MINIMAL = ["--policy", str(ROOT / "manifests" / "policies" / "minimal-downtime.yaml")]
ALL = [word for path in PRESETS for word in ("--policy", str(path))]
DECISION = ["policy", "t", "step", "action", "value", "trigger", "why"]
OUTCOME = ["policy", "t", "outcome", "totalTime", "downtime"]


def run(*words: str, given: str | None = None, **env: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *words], input=given, env=env)


def policy(**spec: object) -> str:
    return json.dumps(
        {
            "apiVersion": "vmferry.io/v1alpha1",
            "kind": "MigrationPolicy",
            "metadata": {"name": "p"},
            "spec": spec,
        }
    )


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "given", "code", "says"),
    [
        ([*MINIMAL, *EASY], None, 0, "Succeeded"),
        ([*MINIMAL, "--trace", str(trace("idle"))], None, 0, "TraceEnded"),
        (["--policy", "-", *EASY], policy(), 0, "Succeeded"),
        ([*MINIMAL, "--trace", "-"], trace("idle").read_text(), 0, "Replay of <stdin>"),
        ([*MINIMAL, *HOPELESS, "--until", "5m"], None, VM_STAYS, "Failed"),
        ([*MINIMAL, *HOPELESS, "--until", "5s"], None, VM_STAYS, "not over after 5s (--until)"),
        ([*MINIMAL, "--trace", "-"], "nonsense", 1, "Error: <stdin>, line 1: not JSON"),
        ([*MINIMAL, "--trace", "-"], "\udcff", 1, "Error: <stdin>: not UTF-8 text"),
        (["--policy", "-", *EASY], "a: [", 1, "Error: <stdin>: not YAML"),
        (["--policy", "-", *EASY], policy(maxDowntme="1s"), 1, "Extra inputs are not permitted"),
        (["--policy", "missing.yaml", *EASY], None, 1, "Error: missing.yaml: No such file or directory"),
        (
            ["--policy", str(ROOT / "manifests/policies"), *EASY],
            None,
            1,
            "manifests/policies: Is a directory",
        ),
        ([*MINIMAL, "--trace", "missing.jsonl"], None, 1, "Error: missing.jsonl: No such file or directory"),
        ([*EASY], None, 2, "Missing option '--policy'"),
        (
            [*MINIMAL],
            None,
            2,
            "give --trace, or all of a guest: --memory, --dirty-rate, --working-set, --band",
        ),
        ([*MINIMAL, *EASY[:4]], None, 2, "--working-set, --bandwidth missing"),
        (
            [*MINIMAL, *EASY, "--trace", str(trace("idle"))],
            None,
            2,
            "remove --dirty-rate, --working-set, --ban",
        ),
        ([*MINIMAL, *EASY, "--bandwidth", "0"], None, 2, "0 is less than 1"),
        ([*MINIMAL, *EASY, "--memory", "1Pi"], None, 2, "1Pi is more than 64Ti"),
        ([*MINIMAL, *EASY, "--memory", "-1"], None, 2, "'-1' is not a quantity"),
        ([*MINIMAL, *EASY, "--until", "forever"], None, 2, "'forever' is not a duration"),
        ([*MINIMAL, *EASY, "--until", "999h"], None, 2, "999h is more than 720h"),
        (
            [*MINIMAL, *EASY, "--working-set", "2Gi"],
            None,
            2,
            "the working set must fit in the memory that is",
        ),
        ([*MINIMAL, *EASY, "--plot", "x.jpg"], None, 2, "x.jpg must end in .png or .svg"),
        ([*MINIMAL, *EASY, "--plot", "/nowhere/x.png"], None, 1, "/nowhere/x.png can't be written: No such"),
    ],
)
def test_it_says_what_is_wrong_and_exits_with_the_documented_code(words, given, code, says):
    raw = given.encode(errors="surrogateescape") if given is not None else None
    result = CliRunner().invoke(main, ["simulate", *words], input=raw, env={"COLUMNS": "120"})
    assert isinstance(result.exception, SystemExit | None)
    assert result.exit_code == code
    assert says in " ".join(result.output.split())
    assert code in (0, VM_STAYS) or result.stdout == ""


@pytest.mark.parametrize(
    "words",
    ["--dirty-rate 0", "--dirty-rate 0 --working-set 0", "--bandwidth 1", "--memory 64Ti"],
)
def test_absurd_guests_come_to_an_end_too(words):
    result = run(*MINIMAL, *EASY, *words.split(), "-o", "json")
    assert result.exit_code in {0, VM_STAYS}
    assert "outcome" in lines(result)[-1]


@pytest.mark.parametrize("source", [*(["--trace", str(trace(name))] for name in TRACES), HOPELESS])
def test_json_is_a_line_for_each_decision_and_a_last_one_for_the_outcome(source):
    result = run(*MINIMAL, *source, "-o", "json")
    *decisions, outcome = lines(result)
    assert all(list(each) == DECISION for each in decisions)
    assert list(outcome) == OUTCOME
    assert [each["t"] for each in decisions] == sorted(each["t"] for each in decisions)


def test_with_json_all_that_is_for_people_goes_to_standard_error():
    result = run(*MINIMAL, *HOPELESS, "-o", "json")
    assert "minimal-downtime: Unfinished: not over after 12s (--until)" in result.stderr
    assert "Model of QEMU 7.2" in result.stderr


def test_it_simulates_as_long_as_the_policy_would_go_on():
    guest = ["--memory", "64Gi", "--dirty-rate", "200Mi", "--working-set", "60Gi", "--bandwidth", "100Mi"]
    slow = policy(timeout={"perGiB": "2m"}, progressTimeout="0s")
    result = run("--policy", "-", *guest, "-o", "json", given=slow)
    assert lines(result)[-1]["outcome"] == "Failed"
    assert "timeout: not done after 2h8m" in result.stderr


def test_side_by_side_is_the_same_as_one_by_one():
    some = PRESETS[4:7]
    words = [["--policy", str(path)] for path in some]
    together = run(*(word for each in words for word in each), *HOPELESS, "-o", "json").stdout
    alone = [run(*each, *HOPELESS, "-o", "json").stdout for each in words]
    assert together == "".join(alone)
    assert together.count('"step"') > 1


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(width):
    result = run(*ALL, "--trace", str(trace("postcopy")), COLUMNS=str(width))
    shown = result.stdout[: result.stdout.index("Replay")]
    assert max(map(len, shown.splitlines())) <= width
    assert all(path.stem[:20] in shown for path in PRESETS)
    assert "setMaxDowntime" in shown


def test_names_and_texts_of_policies_are_shown_as_they_are():
    """Square brackets are Rich's mark-up."""
    read = read_policies([("[red]f", policy(maxDowntime="2s")), ("[bold]g", policy())])
    setting = replay_setting(read_recording("t", trace("idle").read_text().splitlines()))
    results = [simulate(each.label, each.policy, setting) for each in read]
    console = Console(width=120, record=True, file=StringIO())
    for each in tables(results, 120):
        console.print(each)
    assert "p ([red]f)" in console.export_text()


def test_two_versions_of_a_policy_are_told_apart_by_their_files(tmp_path: Path):
    for name, limit in (("old", "100ms"), ("new", "2s")):
        (tmp_path / f"{name}.json").write_text(policy(maxDowntime=limit))
    words = [word for name in ("old", "new") for word in ("--policy", str(tmp_path / f"{name}.json"))]
    outcomes = lines(run(*words, "--trace", str(trace("nonconverging")), "-o", "json"))
    assert [(each["policy"], each["outcome"]) for each in outcomes] == [
        (f"p ({tmp_path / 'old.json'})", "TraceEnded"),
        (f"p ({tmp_path / 'new.json'})", "WouldSwitchOver"),
    ]


@pytest.mark.parametrize(("suffix", "magic"), [(".PNG", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_picture_is_drawn_in_the_format_of_its_name(tmp_path, suffix, magic):
    path = tmp_path / f"picture{suffix}"
    result = run(*MINIMAL, "--trace", str(trace("postcopy")), "--plot", str(path))
    assert result.exit_code == 0
    assert path.read_bytes().startswith(magic)


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path = tmp_path / "picture.png"
    result = run(*MINIMAL, *EASY, "--plot", str(path))
    assert (result.exit_code, path.exists()) == (1, False)
    assert "--plot needs matplotlib: pip install 'vmferry[plot]'" in result.stderr


def test_without_a_picture_matplotlib_is_not_loaded(monkeypatch):
    for name in [each for each in sys.modules if each.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    assert run(*MINIMAL, *EASY).exit_code == 0
    assert "matplotlib" not in sys.modules
