"""Segment 1B: merchants' outlets on the planet, exact, reproducible and provable."""

from typing import Any

__all__ = ["__version__", "read_site_locations"]


def __getattr__(name: str) -> Any:
    # Reading needs Arrow; the name alone must not cost its import.
    if name == "read_site_locations":
        from segment1b.read.gate import read_site_locations

        return read_site_locations
    if name == "__version__":
        from segment1b.contracts.program import VERSION

        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
