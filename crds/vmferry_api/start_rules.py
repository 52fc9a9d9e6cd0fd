"""CEL rules over what QEMU fixes when a migration starts: of a policy's `start`, and of a restart's over it."""

from collections.abc import Callable

from vmferry_api.schemas import Rule

Value = Callable[[str, str, str], str]
"""The CEL expression of an option: its name, how to read it where it is given, what it is where it is absent."""


def whole_start_rules() -> tuple[Rule, ...]:
    """The rules of options that are complete in themselves."""
    return (*partial_start_rules(), *_needs(_own))


def partial_start_rules() -> tuple[Rule, ...]:
    """The rules that hold also where what is missing may come from elsewhere."""
    return _excludes(_own)


def restart_rules() -> tuple[Rule, ...]:
    """The rules of a policy's spec: the options of each of its restarts, over those of its start."""
    return tuple(
        Rule(
            rule=f"!has(self.steps) || self.steps.all(s, !has(s.restart) || ({rule.rule}))",
            message=f"a restart's options hold over those of start: {rule.message}",
            field_path=".steps",
        )
        for rule in (*_excludes(_merged), *_needs(_merged))
    )


def restart_changes_rule() -> Rule:
    """The rule of a policy's spec: its restart starts with other options than its start."""
    changes = (
        _changed("autoConverge", _defaulted("initial", "20"), _defaulted("increment", "10")),
        _changed("compression", "{0}.method", "has({0}.cacheSize)", _defaulted("cacheSize", "0")),
        _changed("parallelConnections", "{0}"),
        _changed_flag("zeroCopy", "false"),
        _changed_flag("encryption", "'Disabled'"),
    )
    return Rule(
        rule="!has(self.steps) || self.steps.filter(s, has(s.restart)).size() != 1"
        f" || self.steps.all(s, !has(s.restart) || {' || '.join(changes)})",
        message="a restart must change at least one option of start: it loses all that was sent; change one, or "
        "remove the step",
        field_path=".steps",
    )


def throttle_rule(start: str) -> Rule:
    """The rule of a policy's auto-converge.

    Not one of StartOptions: in status.desired the defaults are written out, and QEMU cuts a default increment off.

    Args:
        start: The path of the start options in CEL, from the object that the rule belongs to.
    """
    throttle = f"{start}.autoConverge"
    given = f"has({throttle})" if start == "self" else f"has({start}) && has({throttle})"
    return Rule(
        rule=f"!({given} && has({throttle}.increment))"
        f" || (has({throttle}.initial) ? {throttle}.initial : 20) + {throttle}.increment <= 99",
        message="initial and increment together must not exceed 99 percent, QEMU's most: the first increment "
        "could not be carried out; lower or remove increment",
        field_path=throttle.removeprefix("self"),
    )


def _changed(option: str, *values: str) -> str:
    """Whether a restart gives an option that the start doesn't have, or has with other values."""
    anew, at_start = f"s.restart.start.{option}", f"self.start.{option}"
    other = " || ".join(f"{value.format(anew)} != {value.format(at_start)}" for value in values)
    return f"(has({anew}) && (!has(self.start) || !has({at_start}) || {other}))"


def _changed_flag(option: str, absent: str) -> str:
    anew, at_start = f"s.restart.start.{option}", f"self.start.{option}"
    return f"(has({anew}) && {anew} != (has(self.start) && has({at_start}) ? {at_start} : {absent}))"


def _defaulted(value: str, absent: str) -> str:
    return f"(has({{0}}.{value}) ? {{0}}.{value} : {absent})"


def _own(option: str, value: str, absent: str) -> str:
    return f"(has(self.{option}) ? self.{option}{value} : {absent})"


def _merged(option: str, value: str, absent: str) -> str:
    start = f"has(self.start) && has(self.start.{option}) ? self.start.{option}{value} : {absent}"
    return f"(has(s.restart.start.{option}) ? s.restart.start.{option}{value} : {start})"


def _excludes(given: Value) -> tuple[Rule, ...]:
    method = given("compression", ".method", "''")
    parallel = given("parallelConnections", " > 0", "false")
    zero_copy = given("zeroCopy", "", "false")
    encrypted = given("encryption", " == 'Required'", "false")
    return (
        Rule(
            rule=f"{method} != 'XBZRLE' || !{parallel}",
            message="XBZRLE and parallelConnections exclude each other in QEMU; keep one of them",
            field_path=".compression",
        ),
        Rule(
            rule=f"!{zero_copy} || {method} == ''",
            message="zeroCopy and compression exclude each other; remove one of them",
            field_path=".zeroCopy",
        ),
        Rule(
            rule=f"!{zero_copy} || !{encrypted}",
            message="zeroCopy and encryption: Required exclude each other; remove one of them",
            field_path=".zeroCopy",
        ),
    )


def _needs(given: Value) -> tuple[Rule, ...]:
    method = given("compression", ".method", "''")
    parallel = given("parallelConnections", " > 0", "false")
    zero_copy = given("zeroCopy", "", "false")
    return (
        Rule(
            rule=f"!({method} in ['Zlib', 'Zstd']) || {parallel}",
            message="compression by Zlib or Zstd needs parallelConnections (QEMU compresses in its channels)",
            field_path=".compression",
        ),
        Rule(
            rule=f"!{zero_copy} || {parallel}",
            message="zeroCopy needs parallelConnections: only QEMU's parallel channels can send without a copy",
            field_path=".zeroCopy",
        ),
    )
