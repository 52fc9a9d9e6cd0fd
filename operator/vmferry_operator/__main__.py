"""`python -m vmferry_operator`."""

from vmferry_operator.main import main

main()
