"""The tile proof: a stored receipt that S1 and S2 passed every check on the files of a world.

It is a cache of `segment1b validate`, not a signature: it holds for exactly the bytes, inputs,
reports, dictionary and program that it names, and anybody who can write to the data root can
write one. The validators of S1 and S2 do not read it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from segment1b.audit.case import COUNTRIES, ISO, POLICY, RASTER
from segment1b.audit.merchants import in_use, partitions
from segment1b.audit.published_files import Published, UnusableError
from segment1b.contracts import program
from segment1b.contracts.states import ROADS, URBAN
from segment1b.contracts.texts import read_regular

DATASET = "tile_proof_1B"
STATES = ("s1", "s2")
#: What S9 checks beside each other for it; `audit.TRADES` is the last.
SHARDS = (*STATES, "s2_trade")
_TABLES = ("tile_index", "tile_bounds", "tile_weights", "tile_centres")
#: Inputs of the weights of trades, where some are in use.
_LAYERS = (URBAN, ROADS)
_INPUTS = (ISO, COUNTRIES, RASTER, POLICY, "s1_run_report", "s2_run_report")


def tables(published: Published) -> list[str]:
    """Return the tables of S1 and S2 that policy and trades in use have."""
    own = [name for name in _TABLES if published.is_used(name)]
    return [*own, *partitions(published)]


def document(published: Published) -> dict[str, Any]:
    """Return the tile proof of the files as they are today, whether or not they pass."""
    trades = in_use(published)
    surfaces = published.document(POLICY)["surfaces"]
    inputs = [*_INPUTS, *(name for name in _LAYERS if trades and name in surfaces)]
    inputs += [f"s2_trade_run_report/{trade}" for trade in trades]
    return {
        "parameter_hash": published.tokens["parameter_hash"],
        "states": list(STATES),
        "program_sha256_hex": program.digest(),
        "dictionary_sha256_hex": hashlib.sha256(read_regular(published.contracts.path)).hexdigest(),
        "inputs": {name: published.digest_today(name) for name in inputs},
        "tables": {
            name: {
                "sha256_hex": published.composite(name),
                "content_sha256_hex": published.receipt(name)["content_sha256_hex"],
            }
            for name in tables(published)
        },
    }


def is_stored(published: Published) -> bool:
    """Return whether the data root holds the tile proof of the files as they are today."""
    try:
        return bool(published.document(DATASET) == document(published))
    except UnusableError:
        return False
