"""Outlet coordinates: on land, inside the country, in proportion to population, reproducible."""

from typing import TYPE_CHECKING, Any

from segment1b import errors

__all__ = [
    "diff",
    "errors",
    "explain",
    "export",
    "open",
    "read_site_locations",
    "replay",
    "run",
    "validate",
]

if TYPE_CHECKING:
    from segment1b.api import (
        diff,
        explain,
        export,
        open,  # noqa: A004 - segment1b.open
        read_site_locations,
        replay,
        run,
        validate,
    )

    __version__: str


def __getattr__(name: str) -> Any:
    """Import what is used: the name of the package alone must not cost the import of Arrow."""
    if name in __all__:
        from segment1b import api

        return getattr(api, name)
    if name == "__version__":
        from segment1b.contracts.program import VERSION

        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
