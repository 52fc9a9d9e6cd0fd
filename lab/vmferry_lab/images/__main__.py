"""`python -m vmferry_lab.images`, which is `make images`."""

import sys
import time
from pathlib import Path

import click

from vmferry_lab.errors import LabError
from vmferry_lab.images.build import build
from vmferry_lab.images.engines import ENGINES


@click.command()
@click.option(
    "--engine",
    type=click.Choice([*ENGINES]),
    envvar="VMFERRY_IMAGE_ENGINE",
    help="Build with this one.  [default: the first that works; env: VMFERRY_IMAGE_ENGINE]",
)
@click.option(
    "--fresh",
    is_flag=True,
    envvar="FRESH",
    help="Take nothing from earlier builds: Debian's packages as they are now.  [env: FRESH=1]",
)
@click.option(
    "--checkout",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Where the Dockerfile is.  [default: here]",
)
def main(engine: str | None, checkout: Path, *, fresh: bool) -> None:
    """Build the images of operator and agent, with Docker, Podman or Buildah, into dist/images."""
    began = time.monotonic()
    try:
        archives = build(checkout.absolute(), [engine] if engine else [*ENGINES], click.echo, fresh=fresh)
    except LabError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    for archive in archives.values():
        click.echo(f"{archive}  {archive.stat().st_size / 1e6:.0f} MB")
    click.echo(f"in {time.monotonic() - began:.0f} s")


main()
