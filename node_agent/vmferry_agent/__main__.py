"""`python -m vmferry_agent`."""

from vmferry_agent.main import main

main()
