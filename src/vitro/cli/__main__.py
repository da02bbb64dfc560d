"""`python -m vitro.cli`."""

from vitro.cli import main

main()
