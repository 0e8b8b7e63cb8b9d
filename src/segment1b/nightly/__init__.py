"""Nightly jobs: a file of runs for a scheduler, with validators, a summary and lineage."""
