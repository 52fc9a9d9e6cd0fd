"""`python -m vmferry_lab.images.compare ONE.tar OTHER.tar`: whether two builds made the same."""

import sys
from pathlib import Path

import click

from vmferry_lab.images.archives import differences, read

_ARCHIVE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("one", type=_ARCHIVE)
@click.argument("other", type=_ARCHIVE)
def main(one: Path, other: Path) -> None:
    """Print each path that two images do not have alike; the exit code is 1 if there is one. Times don't count."""
    first, second = read(one), read(other)
    found = differences(first, second)
    for each in found:
        click.echo(each)
    click.echo(
        f"{len(first.entries.keys() | second.entries.keys()) - len(found)} paths alike, {len(found)} not"
    )
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
