"""`python -m trueup`: the `trueup` command, for a caller that has the interpreter but not the PATH."""

from trueup.cli import main

main()
