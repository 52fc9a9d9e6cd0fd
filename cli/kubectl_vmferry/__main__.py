"""`python -m kubectl_vmferry`."""

from kubectl_vmferry.main import main

main()
