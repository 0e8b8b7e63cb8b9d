"""Prints a comparison of a run with real outlets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from segment1b.cli.tables import print_table
from segment1b.errors import visible

_Row = Mapping[str, Any]


def print_realism(result: _Row) -> None:
    """Print a table of figures for each group, then what could not be compared."""
    for name, figures in result["groups"].items():
        real, placed = (figures["outlets"][side] for side in ("real", "placed"))
        title = f"{name}: {real:,} real and {placed:,} placed outlets in "
        title += f"{figures['countries']} countries, {figures['large_countries']} of them large"
        print_table(list(_rows(figures)), texts=1, title=title)
    for note in result["notes"]:
        print(f"note: {visible(note)}")


def _rows(figures: _Row) -> Iterator[dict[str, str]]:
    """Yield the rows of the table of one group."""
    yield _row("share in the top 1 % of cells", figures["top_1_percent_share"])
    yield _row("share in urban cells", figures["urban_share"])
    yield _row("overlap at half a degree, median", {"placed": figures["overlap_half_degree"]})
    yield _row("bits an outlet over population", {"placed": figures["bits"]})
    yield _row("nearest outlet of the chain, KS", {"placed": figures["nearest_own_ks"]})
    for km, sides in (figures["ripley_l_km"] or {}).items():
        yield _row(f"Ripley's L at {km} km", sides)
    for metres, sides in (figures["colocated_m"] or {}).items():
        yield _row(f"another chain within {metres} m", sides)


def _row(figure: str, sides: _Row) -> dict[str, str]:
    texts = {name: sides.get(name) for name in ("real", "placed")}
    cells = {n: "" if value is None else f"{value:.3f}" for n, value in texts.items()}
    return {"figure": figure, **cells}
