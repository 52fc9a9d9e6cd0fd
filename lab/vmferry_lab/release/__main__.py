"""`python -m vmferry_lab.release`, which is `make release` once the images are there."""

import sys
from pathlib import Path

import click

from vmferry_lab.errors import LabError
from vmferry_lab.images.build import TARGETS
from vmferry_lab.release.release import release


@click.command()
def main() -> None:
    """Put wheel, chart, manifests and bills of materials of this commit into dist/release."""
    checkout = Path.cwd()
    try:
        output = release(checkout, [checkout / "dist" / "images" / f"{name}.tar" for name in TARGETS])
    except (LabError, OSError) as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    for file in sorted(output.iterdir()):
        click.echo(f"{file}  {file.stat().st_size / 1000:.0f} kB")


main()
