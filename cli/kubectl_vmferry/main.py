"""The commands `kubectl vmferry` and `vmferry`, which are the same."""

import click


@click.group()
def main() -> None:
    """Look at live-migration policies and migrations."""
