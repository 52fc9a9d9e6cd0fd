"""Results as JSON, one object a line: a stable format, told in docs/simulation.md."""

import json
from collections.abc import Iterator

from kubectl_vmferry.simulation.results import Result


def json_lines(result: Result) -> Iterator[str]:
    """One line for each decision, and last the outcome."""
    for each in result.decisions:
        yield json.dumps(
            {
                "policy": result.policy,
                "t": each.t,
                "step": each.step,
                "action": each.action,
                "value": each.value,
                "trigger": each.trigger,
                "why": each.why,
            },
            ensure_ascii=False,
        )
    outcome = result.outcome
    yield json.dumps(
        {
            "policy": result.policy,
            "t": outcome.t,
            "outcome": str(outcome.outcome),
            "totalTime": outcome.total_time,
            "downtime": outcome.downtime,
        },
        ensure_ascii=False,
    )
