"""The commands `kubectl vmferry` and `vmferry`, which are the same."""

import click

from kubectl_vmferry.simulate_command import simulate_command


@click.group()
def main() -> None:
    """Look at live-migration policies and migrations."""


main.add_command(simulate_command)
