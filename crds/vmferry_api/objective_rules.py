"""CEL rules over an objective and what stands beside it in a policy's spec."""

from vmferry_api.durations import is_duration
from vmferry_api.schemas import Rule


def objective_rules() -> tuple[Rule, ...]:
    """The rules of a policy's spec.

    What is not written as it must be passes here: its own rule says so, and one message is enough.
    """
    keeps_trying = "(has(self.objective.otherwise) && self.objective.otherwise == 'KeepTrying')"
    deadline, bound = "self.objective.completeWithin", "self.timeout.base"
    per_gib = "self.timeout.perGiB"
    return (
        Rule(
            rule=f"!has(self.objective) || {keeps_trying} || !has(self.stallingLimit)"
            f" || !{is_duration('self.stallingLimit')} || duration(self.stallingLimit) > duration('0s')",
            message="stallingLimit: 0s turns the detection of stalling off, without which an objective never "
            "gives up; set a stallingLimit, or otherwise: KeepTrying",
            field_path=".stallingLimit",
        ),
        Rule(
            rule=f"!has(self.objective) || !has({deadline}) || !has(self.timeout) || !has({bound})"
            f" || (has({per_gib}) && (!{is_duration(per_gib)} || duration({per_gib}) > duration('0s')))"
            f" || !{is_duration(deadline)} || !{is_duration(bound)} || duration({bound}) <= duration('0s')"
            f" || duration({bound}) >= duration({deadline})",
            message="timeout.base ends an attempt before objective.completeWithin: the deadline would never be "
            "acted on; raise or remove timeout, or lower completeWithin",
            field_path=".timeout",
        ),
    )
