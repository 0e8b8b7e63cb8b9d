"""The command that lists the trades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segment1b.cli.options import AsJson, show


def trades(as_json: AsJson = False) -> None:
    """List the trades of merchants: codes, weights, and what these rest on."""
    from segment1b.contracts.trades import load_trades

    found = load_trades().model_dump(mode="json")
    for trade in found["trades"]:
        trade["fitted"] = trade["basis"].startswith("fitted")
    show(found, _print, as_json=as_json)


def _print(found: Mapping[str, Any]) -> None:
    from segment1b.cli.tables import print_table
    from segment1b.contracts.trades import LAYERS

    print(f"weights: percents of {', '.join(LAYERS)}; boost {found['boost']}")
    print_table(
        [
            {
                "trade": trade["id"],
                "title": trade["title"],
                "weights": "/".join(map(str, trade["weights"])),
                "basis": "fitted" if trade["fitted"] else "judged",
                "mcc": ", ".join(map(str, (*trade["mcc"], *trade["network"]))),
            }
            for trade in found["trades"]
        ],
        texts=5,
    )
