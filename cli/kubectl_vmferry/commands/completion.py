"""`kubectl vmferry completion`: what a shell needs to complete the plugin's words."""

import click
from click.shell_completion import get_completion_class

from kubectl_vmferry.failures import Failure

_EXAMPLES = """\b
Examples:
  source <(vmferry completion bash)
  vmferry completion zsh > "${fpath[1]}/_vmferry"
  vmferry completion fish > ~/.config/fish/completions/vmferry.fish
\b
`kubectl vmferry` is completed by kubectl itself, which asks kubectl_complete-vmferry: have that on the PATH
(it is installed beside kubectl-vmferry), and kubectl's own completion on.
"""


@click.command("completion", epilog=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, /, *, shell: str) -> None:
    """Print the completion of the command `vmferry` for a shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"click has no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "vmferry", "_VMFERRY_COMPLETE").source())
