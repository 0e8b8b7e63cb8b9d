"""Outlet coordinates: on land, inside the country, in proportion to population, reproducible."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from segment1b import errors

__all__ = [
    "diff",
    "errors",
    "explain",
    "export",
    "open",
    "place",
    "read_site_locations",
    "realism",
    "replay",
    "run",
    "validate",
]

_MODULES = {
    "diff": "read.diff",
    "explain": "read.explanation",
    "export": "read.export",
    "place": "read.placed",
    "read_site_locations": "read.gate",
    "realism": "read.realism",
    "replay": "read.replay",
}

if TYPE_CHECKING:
    from segment1b.api import open, run, validate  # noqa: A004 - segment1b.open
    from segment1b.read.diff import diff
    from segment1b.read.explanation import explain
    from segment1b.read.export import export
    from segment1b.read.gate import read_site_locations
    from segment1b.read.placed import place
    from segment1b.read.realism import realism
    from segment1b.read.replay import replay

    __version__: str


def __getattr__(name: str) -> Any:
    """Import what is used: the name of the package alone must not cost the import of Arrow."""
    if name in __all__:
        return getattr(import_module(f"segment1b.{_MODULES.get(name, 'api')}"), name)
    if name == "__version__":
        from segment1b.contracts.program import VERSION

        return VERSION
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
