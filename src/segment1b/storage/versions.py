"""The versions of the libraries that a run's figures can depend on."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import shapely


def versions() -> dict[str, str]:
    """Return the versions of numpy, shapely, GEOS and pyarrow."""
    return {
        "numpy": np.__version__,
        "shapely": shapely.__version__,
        "geos": shapely.geos_version_string,
        "pyarrow": pa.__version__,
    }
