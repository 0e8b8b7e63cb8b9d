"""Prints how the tiles and the coordinate of an outlet were derived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from segment1b.cli.console import Terminal

# How each curve law places a point, and what a pair's points are counted by.
_CURVE_RULES = {
    "systematic": (
        "offset U = {offset:#018x}; point j = 0..n-1 lies at "
        "floor((j*2^64 + U) * K / (n * 2^64)) of the line of weights along the Hilbert curve. "
        "S5 deals the tiles to the sites.",
        "points j",
    ),
    "stable": (
        "offset U = {offset:#018x}; site j lies at point "
        "floor(((U + j*0x9E3779B97F4A7C15) mod 2^64) * K / 2^64) of the line of weights "
        "along the Hilbert curve.",
        "sites j",
    ),
    "balanced": (
        "pair {pair_index} of the country by merchant_id, counted from 0; phase u = {phase:#018x} "
        "/ 2^64. By ranks (j + u) / n among all {country_sites:,} sites of the country, the k-th "
        "takes the point floor((2k+1) * K / (2 * {country_sites})) of the line of weights along "
        "the Hilbert curve. S5 deals the tiles to the sites.",
        "points k",
    ),
}
_LANES = ("whole tile", "its part inside the country", "a point on its surface")


def print_explanation(found: Mapping[str, Any]) -> None:
    """Print an explanation as a table with the rule that decided."""
    # An auditor copies these numbers: a narrow terminal may wrap a line, never cut a figure.
    out = Terminal(width=200, soft_wrap=True, highlight=False)
    out.print(
        f"merchant {found['merchant_id']} in {found['country_iso']}: {found['n_sites']} sites "
        f"over {found['tiles_in_country']:,} tiles, law {escape(str(found['law']))}, "
        f"K = {found['K']:,}"
    )
    if found["law"] == "largest_remainder":
        _print_largest_remainder(out, found)
    else:
        _print_curve(out, found)
    verdict = "agrees with" if found["agrees"] else "[red]differs from[/]"
    out.print(f"The law, applied again here, {verdict} the published plan.")


def _print_largest_remainder(out: Terminal, found: Mapping[str, Any]) -> None:
    out.print(
        "quota = n*w/K; floor = whole part; remainder = n*w mod K. "
        f"The floors leave {found['shortfall']} sites over; they go to the largest "
        "remainders, equal ones by ascending tile_id."
    )
    table = _figures(
        "tile_id", "weight", "quota", "floor", "remainder", "one more", "sites", "published"
    )
    for row in found["tiles"]:
        why = (
            ("tie, lower id" if row["tie"] else "yes")
            if row["extra"]
            else ("no: tie, higher id" if row["tie"] else "no")
        )
        table.add_row(
            str(row["tile_id"]),
            f"{row['weight']:,}",
            f"{row['quota']:.6f}",
            str(row["floor"]),
            f"{row['remainder']:,}",
            why,
            str(row["sites"]),
            str(row["published"]),
        )
    out.print(table)
    if found["cut_remainder"] is not None:
        out.print(
            f"The cut lies at remainder {found['cut_remainder']:,}; the tie rule decided "
            f"{found['ties_broken']} of {found['shortfall']} sites."
        )


def _print_curve(out: Terminal, found: Mapping[str, Any]) -> None:
    rule, counted_by = _CURVE_RULES[found["law"]]
    out.print(rule.format(**found))
    table = _figures("tile_id", "weight", "quota", counted_by, "points", "sites", "published")
    for row in found["tiles"]:
        table.add_row(
            str(row["tile_id"]),
            f"{row['weight']:,}",
            f"{row['quota']:.6f}",
            _some(row["numbers"]),
            _some(row["points"]),
            str(row["sites"]),
            str(row["published"]),
        )
    out.print(table)


def _figures(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _some(values: list[int]) -> str:
    shown = ", ".join(f"{value:,}" for value in values[:4])
    return shown + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def print_replay(found: Mapping[str, Any]) -> None:
    """Print a replay as a story that a pocket calculator can follow."""
    out = Terminal(width=200, soft_wrap=True, highlight=False)
    out.print(
        f"merchant {found['merchant_id']} in {found['country_iso']}, site "
        f"{found['site_order']} of {found['requirement']}"
    )
    s5 = found["s5"]
    if s5["match"] == "own_point":
        out.print(
            f"S5 own point: offset {s5['offset']:#018x}, at "
            f"{s5['fraction_of_the_line']:.12f} of the country's line of weights"
        )
    else:
        out.print(
            f"S5 permuted: word {s5['word']:#018x} has rank {s5['rank']} of "
            f"{found['requirement']} in the pair"
        )
    out.print(f"tile {found['tile_id']} (quota {found['quotas'][found['tile_id']]})")
    table = Table()
    for name in ("attempt", "w0", "w1", "u lon", "u lat", "lon", "lat", "verdict"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found["attempts"]:
        table.add_row(
            str(row["attempt"]),
            f"{row['w0']:016x}",
            f"{row['w1']:016x}",
            f"{row['u_lon']:.9f}",
            f"{row['u_lat']:.9f}",
            f"{row['lon_deg']:.9f}",
            f"{row['lat_deg']:.9f}",
            row["verdict"],
        )
    out.print(table)
    out.print(
        f"drawn in {_LANES[found['lane']]}; point {found['point']['lon_deg']!r}, "
        f"{found['point']['lat_deg']!r}"
    )
    verdict = "agrees with" if found["agrees"] else "[red]differs from[/]"
    out.print(f"This, computed again here, {verdict} the published coordinate.")
