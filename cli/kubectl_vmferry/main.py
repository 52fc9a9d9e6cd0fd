"""The commands `kubectl vmferry` and `vmferry`, which are the same."""

import importlib
import os
from collections.abc import MutableMapping
from typing import Any

import click
from typing_extensions import override

from kubectl_vmferry.failures import INTERRUPTED, INTERRUPTED_WORDS, UnexpectedFailure

NAME = "kubectl vmferry"
_COMMANDS = {
    "migrate": "migrate:migrate_command",
    "watch": "watch:watch_command",
    "describe": "describe:describe_command",
    "explain": "explain:explain_command",
    "push": "push:push_command",
    "cancel": "cancel:cancel_command",
    "policy": "policy:policy_group",
    "simulate": "simulate:simulate_command",
    "doctor": "doctor:doctor_command",
    "uninstall": "uninstall:uninstall_command",
    "completion": "completion:completion_command",
}
"""Loaded when they are called: the client of the API server alone takes a quarter of a second."""


class LateCommands(click.Group):
    """Loads the command that is called, and lets no traceback through."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"kubectl_vmferry.commands.{module}"), name)
        return command

    @override
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            click.echo(f"\n{INTERRUPTED_WORDS}", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit, OSError):
            raise
        except Exception as error:
            if os.environ.get("VMFERRY_DEBUG"):
                raise
            said = " ".join(str(error).split())
            raise UnexpectedFailure(f"unexpected {type(error).__name__}: {said}") from error

    @override
    def main(self, *args: Any, **extra: Any) -> Any:
        extra.setdefault("prog_name", NAME)
        return super().main(*args, **extra)

    @override
    def _main_shell_completion(
        self, ctx_args: MutableMapping[str, Any], prog_name: str, complete_var: str | None = None
    ) -> None:
        """The variable is the same by whichever of its names the plugin is called."""
        super()._main_shell_completion(ctx_args, "vmferry", complete_var or "_VMFERRY_COMPLETE")


@click.group(
    cls=LateCommands,
    epilog="Exit codes: 0 done, or yes; 1 failed, refused, or no; 2 wrong usage; 3 the cluster can't be asked; "
    "130 interrupted, and the migration goes on. docs/kubectl-vmferry.md shows each command.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="vmferry", prog_name=NAME)
def main() -> None:
    """Live migrations of VMs: ask for them, watch them, understand them, and try policies out."""
