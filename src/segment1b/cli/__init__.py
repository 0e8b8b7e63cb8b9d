"""The command line: one module a noun; each command calls the Python interface and prints."""
