"""`python -m raydd.cli`: the command where its console script is not on the path."""

from raydd.cli import main

main(prog_name="raydd")
