"""A command line that runs when it is imported, and ends the process."""

raise SystemExit(2)
