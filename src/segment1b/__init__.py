"""Segment 1B: merchants' outlets on the planet, exact, reproducible and provable."""

__version__ = "0.1.0"
