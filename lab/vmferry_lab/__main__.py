"""`python -m vmferry_lab`."""

from vmferry_lab.cli import main

main()
