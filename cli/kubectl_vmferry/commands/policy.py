"""`kubectl vmferry policy`: policies before they are applied."""

import click

from kubectl_vmferry.commands.policy_diff import diff_command
from kubectl_vmferry.commands.policy_lint import lint_command


@click.group("policy", short_help="Check policies, and see what an edit changes.")
def policy_group() -> None:
    """Check policies, and see what an edit changes, before they are applied."""


policy_group.add_command(lint_command)
policy_group.add_command(diff_command)
