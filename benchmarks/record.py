"""Where figures are kept: one section of results.md for each measurement."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rasterio
import shapely

from benchmarks.scales import SCALES
from segment1b.config import usable_cores

RESULTS = Path(__file__).parent / "results.md"
SECTIONS = (*SCALES, "place", "shards", "peers")
_TITLE = (
    "# What was measured last\n\nmake bench SCALE=..., make shards SCALE=... and make peers\n\n"
)


def machine(more: Sequence[str] = ()) -> str:
    """Return what the figures were measured on, without the machine's name.

    Args:
        more: further entries, "name version" each.
    """
    versions: dict[str, Any] = {
        "Python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "shapely": shapely.__version__,
        "rasterio": rasterio.__version__,
    }
    cores = usable_cores()
    listed = ", ".join([*(f"{name} {version}" for name, version in versions.items()), *more])
    return f"{platform.machine()}, {cores} cores, {listed}"


def keep(name: str, text: str, path: Path = RESULTS) -> None:
    """Replace one section of results.md, keeping the others."""
    sections: dict[str, str] = {}
    if path.exists():
        for part in path.read_text().split("\n## ")[1:]:
            sections[part.split("\n", 1)[0]] = "## " + part.rstrip() + "\n"
    sections[name] = text.rstrip() + "\n"
    path.write_text(_TITLE + "\n".join(sections[name] for name in SECTIONS if name in sections))
