"""`python -m segment1b` is the command line."""

from segment1b.cli import main

main()
