"""The embedded world: reference surfaces and sample outlets that ship as package data.

Source: docs/spec/reference-surfaces.md#embedded-files. `MANIFEST.json` beside the files gives
digests, licences and inputs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from segment1b.contracts.texts import parse_json
from segment1b.errors import file_error

_DATA: Final = Path(__file__).parent / "data"

#: File of the population prior by its cell size in degrees, as a policy writes it.
RESOLUTIONS: Final[dict[str, str]] = {
    "0.1": "population_2025_0p1deg.tif",
    "0.05": "population_2025_0p05deg.tif",
}

#: A made-up list of outlets over all inhabited countries: merchant_id, country_iso, n_outlets.
SAMPLE_OUTLETS: Final = _DATA / "sample_outlets.csv"


def path_of(name: str) -> Path:
    """Return where an embedded file is, or would be."""
    return _DATA / name


def surface(name: str) -> Path:
    """Return the path of an embedded file; E_REFERENCE_SURFACE_MISSING when there is none."""
    path = _DATA / name
    if Path(name).name != name or not path.is_file():
        embedded = ", ".join(sorted(p.name for p in _DATA.glob("*")))
        hint = f"embedded are {embedded}; if it should be there, install the package again"
        raise file_error("E_REFERENCE_SURFACE_MISSING", path, "is not an embedded file", hint)
    return path


def manifest() -> dict[str, Any]:
    """Return the manifest: `files` (file, bytes, sha256, licence) and the `inputs` of the build.

    It includes `populated_places.parquet`, the source of the population, which is not shipped.
    """
    document: dict[str, Any] = parse_json(surface("MANIFEST.json").read_bytes())
    return document
