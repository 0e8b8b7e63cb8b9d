"""Benchmarks: one command measures every state beside its read-and-write floor."""
