"""Nights: a file of runs that a scheduler starts, with validators, a summary and lineage."""
