"""Names of other objects and of VMs, as fields of the API."""

from typing import Annotated

from pydantic import Field

from vmferry_api.schemas import Rule

MAX_LENGTH = 253
Name = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
OBJECT_NAME = f"^{_LABEL}([.]{_LABEL})*$"
"""What Kubernetes takes as the name of a Node or of a MigrationPolicy: a DNS subdomain."""


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
