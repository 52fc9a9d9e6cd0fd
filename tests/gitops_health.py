"""What those who wait for objects make of them: kstatus (the library), Argo CD, Flux' expressions."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import lupa.lua51
import yaml
from cel_expr_python import cel

from vmferry_lab.controlplane.binaries.building import built_once

_GITOPS = Path(__file__).parents[1] / "manifests" / "gitops"
_KSTATUS = Path(__file__).parent / "integration" / "kstatus"
_NOT_OPEN = ("io", "math", "string", "debug", "coroutine", "loadfile", "dofile", "python")
"""Libraries of Lua that Argo CD does not open for scripts of its users."""

Json = Mapping[str, Any]


def kstatus(objects: Sequence[Json]) -> list[str]:
    """What the library itself says of each: InProgress, Current, Failed, Terminating."""
    program = built_once(_KSTATUS, lambda _: None)
    done = subprocess.run(
        [str(program)],
        input=json.dumps(list(objects)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [json.loads(line)["status"] for line in done.stdout.splitlines()]


def argo_cd(given: Json) -> tuple[str, str]:
    """Argo CD's health and message: the script is run by Lua 5.1, as Argo CD's interpreter is."""
    runtime = lupa.lua51.LuaRuntime(unpack_returned_tuples=True, register_builtins=False)
    for name in _NOT_OPEN:
        runtime.globals()[name] = None
    runtime.globals().obj = _table(runtime, given)
    found = runtime.execute(_script(given["kind"]))
    assert set(found) <= {"status", "message"}
    return found["status"], found["message"]


def flux(given: Json) -> str:
    """Flux' status by healthCheckExprs: its generation first, then inProgress, failed, current, in this order."""
    observed, generation = given["status"].get("observedGeneration"), given["metadata"].get("generation")
    if observed is not None and observed != generation:
        return "InProgress"
    expressions = _expressions()[given["kind"]]
    for name, status in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        if name in expressions and _compiled(expressions[name]).eval(data=dict(given)).value() is True:
            return status
    return "InProgress"


@cache
def _script(kind: str) -> str:
    return (_GITOPS / "argocd" / f"{kind.lower()}-health.lua").read_text()


@cache
def _expressions() -> Mapping[str, Mapping[str, str]]:
    documents = yaml.safe_load_all((_GITOPS / "flux" / "policies.yaml").read_text())
    (checks,) = [each["spec"]["healthCheckExprs"] for each in documents if "healthCheckExprs" in each["spec"]]
    return {each["kind"]: each for each in checks}


@cache
def _compiled(expression: str) -> cel.Expression:
    fields = ("apiVersion", "kind", "metadata", "spec", "status")
    return cel.NewEnv(variables=dict.fromkeys(fields, cel.Type.DYN)).compile(expression)


def _table(runtime: Any, value: Any) -> Any:
    """The value as Argo CD hands it over: tables all the way down, whole numbers as numbers."""
    if isinstance(value, Mapping):
        return runtime.table_from({name: _table(runtime, each) for name, each in value.items()})
    if isinstance(value, list):
        return runtime.table_from([_table(runtime, each) for each in value])
    return value
