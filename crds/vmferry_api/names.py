"""Names of other objects and of VMs, as fields of the API."""

from typing import Annotated

from pydantic import Field

from vmferry_api.schemas import Rule, rules

MAX_LENGTH = 253
Name = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
OBJECT_NAME = f"^{_LABEL}([.]{_LABEL})*$"
"""What Kubernetes takes as the name of a Node or of a MigrationPolicy: a DNS subdomain."""
_WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY = f"^({_LABEL}([.]{_LABEL})*/)?{_WORD}$"
LABEL_VALUE = f"^({_WORD})?$"
_WRITTEN = "of letters, digits, -, _ and ., at most 63, with a letter or digit at both ends"
LabelValue = Annotated[
    str,
    Field(
        max_length=63,
        json_schema_extra=rules(
            Rule(
                rule=f"self.matches('{LABEL_VALUE}')",
                message=f"no label can have this value: one is made {_WRITTEN}",
            )
        ),
    ),
]


def object_name_rule(field: str, *, example: str) -> Rule:
    """The CEL rule of a field that names another object.

    Not the schema's `pattern`: what is stored already can be read, cancelled and deleted all the same.
    """
    return Rule(
        rule=f"self.matches('{OBJECT_NAME}')",
        message=f"{field} must be the name of an object such as {example}: lower-case letters, digits, - and .",
    )


def vm_name_rule(field: str) -> Rule:
    """The CEL rule of a domain's name or UUID, of which libvirt takes no control characters."""
    return Rule(
        rule="!self.matches('[[:cntrl:]]')",
        message=f"{field} must be the name or UUID of a libvirt domain, without control characters",
    )


def label_key_rule(field: str) -> Rule:
    """The CEL rule of a field that names a label."""
    return Rule(rule=f"self.matches('{LABEL_KEY}')", message=_no_label_key(field))


def label_keys_rule(field: str) -> Rule:
    """The CEL rule of a field of labels by their keys."""
    return Rule(rule=f"self.all(key, key.matches('{LABEL_KEY}'))", message=_no_label_key(field))


def _no_label_key(field: str) -> str:
    return (
        f"{field} must name labels that can be: a key such as tier or example.com/tier, its name {_WRITTEN}"
    )
