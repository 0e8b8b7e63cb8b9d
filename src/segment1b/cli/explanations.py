"""Prints explanations: of one pair's tiles, of one site's coordinate, of compared scenarios."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence

from rich.text import Text

from segment1b.cli.tables import COLLAPSE_WARNING, Row, print_rich, print_table
from segment1b.errors import visible

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
_LANES = (
    *("in whole tile", "in its part inside the country", "in a point on its surface"),
    "around a centre",
)
_COMPARED = {
    "": "{name}",
    "law": "{law}",
    "outlets": "{sites:,}",
    "distinct tiles": "{distinct_tiles:,}",
    "collapse index": "{collapse_index:.2f}",
    "tile load error, most": "{tile_load_error_max:.1f}",
    "tile load error, p99": "{tile_load_error_p99:.2f}",
    "top five tiles: sites": "{top_five_share:.1%}",
    "top five tiles: weight": "{top_five_weight:.1%}",
    "nearest outlet, p10 km": "{p10}",
    "nearest outlet, p50 km": "{p50}",
    "moved against the first": "{moved_share}",
    "moved when lists grow": "{grown_share}",
    "seconds": "{seconds:.1f}",
}
_WIDTH = 12
_TEXT_WIDTH = 100


def print_explanation(result: Row) -> None:
    """Print how the sites of a pair were allotted to tiles, with the rule that decided."""
    print(
        f"merchant {_merchant(result)} in {result['country_iso']}: {result['n_sites']} sites "
        f"over {result['tiles_in_country']:,} tiles, law {result['law']}, K = {result['K']:,}"
    )
    if "layers_missing" in result:
        print(f"trade {result['trade']}; its layers are not shown: {result['layers_missing']}")
    elif "trade" in result:
        _print_layers(result)
    if result["law"] == "largest_remainder":
        print(
            "quota = n*w/K; floor = whole part; remainder = n*w mod K. "
            f"The floors leave {result['shortfall']} sites over; they go to the largest "
            "remainders, equal ones by ascending tile_id."
        )
        print_table([_tile(row, _by_remainder(row)) for row in result["tiles"]])
    else:
        rule, counted_by = _CURVE_RULES[result["law"]]
        print(rule.format_map(result))
        points = [
            {counted_by: _first(row["numbers"]), "points": _first(row["points"])}
            for row in result["tiles"]
        ]
        print_table([_tile(*pair) for pair in zip(result["tiles"], points, strict=True)])
    if result.get("cut_remainder") is not None:
        print(
            f"The cut lies at remainder {result['cut_remainder']:,}; the tie rule decided "
            f"{result['ties_broken']} of {result['shortfall']} sites."
        )
    _print_agreement("The law, applied again here,", result["agrees"], "the published plan.")


def _print_layers(result: Row) -> None:
    """Print the layers that a trade mixes in a country: sums, percents and the tiles' values."""
    names = [name for name, percent in result["percents"].items() if percent]
    heads = {
        "sum": result["sums"],
        "percent": result["trade_percents"],
        f"in {result['country_iso']}": result["percents"],
    }
    rows = [
        {"tile_id": head, **{name: f"{values[name]:,}" for name in names}, "mass": ""}
        for head, values in heads.items()
    ]
    for tile in result["tiles"]:
        values = {**tile["layers"], "mass": tile["mass"]}
        cells = {name: f"{values[name]:,}" for name in (*names, "mass")}
        rows.append({"tile_id": str(tile["tile_id"]), **cells})
    print(
        f"trade {result['trade']}, boost {result['boost']}, {result['cells_per_tile']} cells a "
        f"tile; percents of the trade, and in {result['country_iso']}. "
        "mass = sum of percent * layer, each layer in shares of K; weight = mass in shares of K."
    )
    print_table(rows)


def _merchant(result: Row) -> str:
    """Return the merchant as its owner names it, and its number where that is another."""
    number = str(result["merchant_id"])
    text = visible(str(result.get("merchant", number)))
    return text if text == number else f"{text} ({number})"


def _tile(row: Row, by_law: Mapping[str, str]) -> dict[str, str]:
    return {
        "tile_id": str(row["tile_id"]),
        "weight": f"{row['weight']:,}",
        "quota": f"{row['quota']:.6f}",
        **by_law,
        "sites": str(row["sites"]),
        "published": str(row["published"]),
    }


def _by_remainder(row: Row) -> dict[str, str]:
    if row["extra"]:
        more = "tie, lower id" if row["tie"] else "yes"
    else:
        more = "no: tie, higher id" if row["tie"] else "no"
    return {"floor": str(row["floor"]), "remainder": f"{row['remainder']:,}", "one more": more}


def _first(values: Sequence[int]) -> str:
    shown = ", ".join(f"{value:,}" for value in values[:4])
    return shown + (f" and {len(values) - 4} more" if len(values) > 4 else "")


def _print_agreement(derived: str, agrees: bool, published: str) -> None:
    print_rich(derived, "agrees with" if agrees else Text("differs from", "red"), published)


def print_replay(result: Row) -> None:
    """Print how one site came to its coordinate, in steps that a pocket calculator can follow."""
    n, s5, point = result["requirement"], result["s5"], result["point"]
    site = f"site {result['site_order']} of {n}"
    site += f", outlet {visible(result['outlet_id'])}" if "outlet_id" in result else ""
    print(f"merchant {_merchant(result)} in {result['country_iso']}, {site}")
    if s5["match"] == "own_point":
        fraction = f"{s5['fraction_of_the_line']:.12f} of the country's line of weights"
        print(f"S5 own point: offset {s5['offset']:#018x}, at {fraction}")
    else:
        rank = f"rank {s5['rank']} of {n} in the pair"
        print(f"S5 permuted: word {s5['word']:#018x} has {rank}")
    print(f"tile {result['tile_id']} (quota {result['quotas'][result['tile_id']]})")
    if "centres" in result:
        _print_centres(result["centres"])
    if result["attempts"]:
        print_table([_attempt(row) for row in result["attempts"]])
    lane = _LANES[result["lane"]]
    print(f"drawn {lane}; point {point['lon_deg']!r}, {point['lat_deg']!r}")
    _print_agreement("This, computed again here,", result["agrees"], "the published coordinate.")


def _print_centres(result: Row) -> None:
    """Print the attempts at the centres of a tile, and what came of them."""
    count, attempts = result["centres"], result["attempts"]
    if not count:
        print("the tile is too small for centres")
        return
    print(f"the tile has {count} centres" if count > 1 else "the tile has one centre")
    numbers = {"x": "x", "y": "y", "centre lon": "centre_lon_deg", "centre lat": "centre_lat_deg"}
    numbers |= {"lon": "lon_deg", "lat": "lat_deg"}
    rows = [
        {
            "attempt": str(row["attempt"]),
            "centre": str(row["rank"] or "-"),
            **{n: "-" if row[k] is None else f"{row[k]:.7f}" for n, k in numbers.items()},
            "verdict": row["verdict"],
        }
        for row in attempts
    ]
    print_table(rows)
    last = attempts[-1]
    words = " ".join(f"{last[f'w{number}']:016x}" for number in range(4))
    print(f"words of attempt {last['attempt']}: {words}")
    if not result["centre"]:
        why = "by the tail" if last["rank"] == 0 else f"after {len(attempts)} attempts"
        print(f"at no centre, {why}; drawn in the tile:")


def _attempt(row: Row) -> dict[str, str]:
    degrees = {"u lon": "u_lon", "u lat": "u_lat", "lon": "lon_deg", "lat": "lat_deg"}
    return {
        "attempt": str(row["attempt"]),
        "w0": f"{row['w0']:016x}",
        "w1": f"{row['w1']:016x}",
        **{name: f"{row[key]:.9f}" for name, key in degrees.items()},
        "verdict": row["verdict"],
    }


def print_comparison(result: Row) -> None:
    """Print compared scenarios: a column for each, then the answers."""
    rows = result["scenarios"]
    label = max(map(len, _COMPARED))
    widths = [max(len(row["name"]), len(row["law"]), _WIDTH) for row in rows]
    cells = [
        {
            **row,
            "p10": _km(row["nearest_p10_km"]),
            "p50": _km(row["nearest_p50_km"]),
            "moved_share": _share(row["moved"]),
            "grown_share": _share(row["moved_by_growth"]),
        }
        for row in rows
    ]
    for name, form in _COMPARED.items():
        texts = (f"{form.format_map(row):>{w}}" for row, w in zip(cells, widths, strict=True))
        print(f"{name:<{label}}  {'  '.join(texts)}".rstrip())
    print()
    for answer in answers(rows):
        print(textwrap.fill(answer, _TEXT_WIDTH))
    for row in rows:
        if row["data_root"]:
            print(f"{row['name']} is kept in {row['data_root']}; S9, the proof, has not run")


def answers(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for each question that the figures of compared scenarios answer."""
    piled = [at for at, row in enumerate(rows) if row["collapse_index"] < COLLAPSE_WARNING]
    pile_up = f". Below {COLLAPSE_WARNING} outlets pile up: {_names(rows, piled)}" if piled else ""
    moved = [
        f"{row['name']} {_ratio(row['moved']):.1%}" for row in rows[1:] if row["moved"] is not None
    ]
    sentences = [
        _answer(
            rows,
            lambda row: round(row["tile_load_error_max"], 1),
            "Closest to the weights, tile by tile: {0}; no tile is more than {1:.1f} outlets from "
            "its share",
            " of its country; under {0} one is {1:.1f} off",
        ),
        _answer(
            rows,
            lambda row: -round(row["collapse_index"], 2),
            "Spread over most tiles: {0}, collapse index {1:.2f}",
            "; {0} has {1:.2f}",
        )
        + pile_up,
        _answer(
            rows,
            lambda row: round(_ratio(row["moved_by_growth"]), 3),
            "Steadiest when every merchant opens one more outlet in each of its countries: "
            "{0}, {1:.1%} of outlets change their tile",
            "; under {0} {1:.1%} do",
        ),
    ]
    if moved:
        sentences.append(
            f"Outlets in another tile than under {rows[0]['name']}: {', '.join(moved)}"
        )
    return [f"{sentence}." for sentence in sentences]


def _answer(
    rows: Sequence[Row], figure: Callable[[Row], float], best_text: str, worst_text: str
) -> str:
    """Return the scenarios with the least figure, and those with the greatest if they differ."""
    values = [figure(row) for row in rows]
    ends = [min(values), *([max(values)] if max(values) != min(values) else [])]
    return "".join(
        text.format(_names(rows, [at for at, v in enumerate(values) if v == end]), abs(end))
        for text, end in zip((best_text, worst_text), ends, strict=False)
    )


def _names(rows: Sequence[Row], which: Sequence[int]) -> str:
    names = [str(rows[at]["name"]) for at in which]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _ratio(moved: Mapping[str, int]) -> float:
    return moved["moved"] / moved["outlets"] if moved["outlets"] else 0.0


def _share(moved: Mapping[str, int] | None) -> str:
    return "other grid" if moved is None else f"{_ratio(moved):.1%}"


def _km(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
