"""Opens GeoTIFF rasters, and nothing else: no other driver, no sidecar file, no absurd header."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any, Final

import rasterio
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import schema_invalid, too_large, unreadable
from segment1b.storage.durable import regular_file

# A raster without a geotransform is refused by its grid, with a hint. For the whole process, since
# a filter that one thread sets for itself is undone by another.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

#: Rows or columns: one arc-second around the globe. States keep arrays of this length.
MAX_SIDE: Final = 1_296_000
#: Cells: a world of three arc-seconds (432000 x 216000) fits.
MAX_CELLS: Final = 10**11
#: Tiles or strips: GDAL keeps a table of them.
MAX_TILES: Final = 1 << 24
#: Decoded bytes of one tile or strip, which is in memory as a whole.
MAX_TILE_BYTES: Final = 256 << 20
MAX_BANDS: Final = 256

#: What is sealed is the file. Auxiliary metadata (.aux.xml), masks (.msk), overviews (.ovr) and
#: world files (.tfw) beside it would change what is read without changing its digest.
_FILE_ALONE: Final = {"GDAL_PAM_ENABLED": "NO", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
_NUMBERS: Final = re.compile(r"(?:u?int|float)([0-9]+)")
_REFERENCES: Final = {
    b"<VRTDataset": "a VRT, which takes its cells from other files",
    b"<GDAL_WMS": "a description of a map server",
    b"<OGRVRTDataSource": "an OGR VRT, which takes its rows from other files",
}


def open_raster(path: Path) -> Any:
    """Return an open rasterio dataset, which the caller closes, of a GeoTIFF (or COG).

    Only the header is read. Every property that GDAL would look up later, and could then find in a
    sidecar file, is looked up here.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE, E_INPUT_TOO_LARGE beyond the limits of this module,
            E_INPUT_SCHEMA_INVALID for cells that are not numbers.
    """
    regular_file(path)
    try:
        with rasterio.Env(**_FILE_ALONE):
            source = rasterio.open(  # noqa: TID251
                Path(os.path.abspath(path)), driver="GTiff", GEOREF_SOURCES="INTERNAL"
            )
            _check_header(path, source)
            _ = source.crs, source.transform, source.nodatavals, source.mask_flag_enums
            _ = source.scales, source.offsets, source.descriptions
    except (RasterioError, OSError, ValueError) as error:
        raise_machine_fault(error, path)
        what = f"is not a whole GeoTIFF: {reference_format(path) or _reason(error)}"
        hint = "give a GeoTIFF; gdal_translate makes one of other rasters"
        raise unreadable(path, what, hint) from None
    return source


def _reason(error: BaseException) -> str:
    return str(error.args[0] if error.args else error)


def reference_format(path: Path) -> str | None:
    """Return the name of a format that refers to other files, None for any other content."""
    with path.open("rb") as file:
        head = file.read(4096)
    return next((what for mark, what in _REFERENCES.items() if mark in head), None)


def _check_header(path: Path, source: Any) -> None:
    """Refuse a header that has no numbers to read, or absurd amounts to allocate."""
    rows, cols, bands = source.height, source.width, source.count
    # All bands of a TIFF have one type and one layout.
    dtype = source.dtypes[0] if bands else "no band"
    numbers = _NUMBERS.fullmatch(dtype)
    if numbers is None:
        hint = "a population raster holds people per cell in one band"
        raise schema_invalid(path, f"holds {dtype}, not numbers of people", hint)
    height, width = source.block_shapes[0]
    together = bands if source.interleaving == Interleaving.pixel else 1
    limits = {
        "rows": (rows, MAX_SIDE),
        "columns": (cols, MAX_SIDE),
        "cells": (rows * cols, MAX_CELLS),
        "bands": (bands, MAX_BANDS),
        "tiles": (-(-rows // height) * -(-cols // width), MAX_TILES),
        "bytes in a tile": (height * width * together * int(numbers[1]) // 8, MAX_TILE_BYTES),
    }
    for what, (value, limit) in limits.items():
        if value > limit:
            problem = f"declares {value} {what}, more than the limit of {limit}"
            tools = "gdalwarp -tr or gdal_translate -co TILED=YES"
            hint = f"write it with larger cells or other tiles, for example with {tools}"
            raise too_large(path, problem, hint)
