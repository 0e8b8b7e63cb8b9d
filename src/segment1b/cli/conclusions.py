"""What a comparison of scenarios says: a table, and a plain sentence for each question."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segment1b.cli.console import COLLAPSE_WARNING

Row = Mapping[str, Any]
_WIDTH = 12
_TEXT_WIDTH = 100

_LINES: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("", lambda row: str(row["name"])),
    ("law", lambda row: str(row["law"])),
    ("outlets", lambda row: f"{row['sites']:,}"),
    ("distinct tiles", lambda row: f"{row['distinct_tiles']:,}"),
    ("collapse index", lambda row: f"{row['collapse_index']:.2f}"),
    ("tile load error, most", lambda row: f"{row['tile_load_error_max']:.1f}"),
    ("tile load error, p99", lambda row: f"{row['tile_load_error_p99']:.2f}"),
    ("top five tiles: sites", lambda row: f"{row['top_five_share']:.1%}"),
    ("top five tiles: weight", lambda row: f"{row['top_five_weight']:.1%}"),
    ("nearest outlet, p10 km", lambda row: _km(row["nearest_p10_km"])),
    ("nearest outlet, p50 km", lambda row: _km(row["nearest_p50_km"])),
    ("moved against the first", lambda row: _share(row["moved"])),
    ("moved when lists grow", lambda row: _share(row["moved_by_growth"])),
    ("seconds", lambda row: f"{row['seconds']:.1f}"),
)


def print_comparison(found: Mapping[str, Any]) -> None:
    """Print a comparison: a column for each scenario, then the answers."""
    rows = found["scenarios"]
    label = max(len(name) for name, _ in _LINES)
    widths = [max(len(row["name"]), len(row["law"]), _WIDTH) for row in rows]
    for name, cell in _LINES:
        cells = (f"{cell(row):>{width}}" for row, width in zip(rows, widths, strict=True))
        print(f"{name:<{label}}  {'  '.join(cells)}".rstrip())
    print()
    for answer in answers(rows):
        print(textwrap.fill(answer, _TEXT_WIDTH))
    for row in rows:
        if row["data_root"]:
            print(f"{row['name']} is kept in {row['data_root']}; S9, the proof, has not run")


def answers(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for each question that the figures of a comparison answer.

    Args:
        rows: two scenarios or more, as `comparison.compare` returns them.
    """
    return [_closest(rows), _widest(rows), _steadiest(rows), *_different(rows)]


def _closest(rows: Sequence[Row]) -> str:
    best, worst = _ends(rows, lambda row: round(row["tile_load_error_max"], 1))
    told = f"no tile is more than {rows[best[0]]['tile_load_error_max']:.1f} outlets from its share"
    if worst:
        told += (
            f" of its country; under {_names(rows, worst)} one is "
            f"{rows[worst[0]]['tile_load_error_max']:.1f} off"
        )
    return f"Closest to the weights, tile by tile: {_names(rows, best)}; {told}."


def _widest(rows: Sequence[Row]) -> str:
    best, worst = _ends(rows, lambda row: -round(row["collapse_index"], 2))
    told = f"Spread over most tiles: {_names(rows, best)}, collapse index "
    told += f"{rows[best[0]]['collapse_index']:.2f}"
    if worst:
        told += f"; {_names(rows, worst)} has {rows[worst[0]]['collapse_index']:.2f}"
    piled = [at for at, row in enumerate(rows) if row["collapse_index"] < COLLAPSE_WARNING]
    if piled:
        told += f". Below {COLLAPSE_WARNING} outlets pile up: {_names(rows, piled)}"
    return f"{told}."


def _steadiest(rows: Sequence[Row]) -> str:
    shares = [_ratio(row["moved_by_growth"]) for row in rows]
    best, worst = _ends(rows, lambda row: round(_ratio(row["moved_by_growth"]), 3))
    told = "Steadiest when every merchant opens one more outlet in each of its countries: "
    told += f"{_names(rows, best)}, {shares[best[0]]:.1%} of outlets change their tile"
    if worst:
        told += f"; under {_names(rows, worst)} {shares[worst[0]]:.1%} do"
    return f"{told}."


def _different(rows: Sequence[Row]) -> list[str]:
    told = [
        f"{row['name']} {_ratio(row['moved']):.1%}" for row in rows[1:] if row["moved"] is not None
    ]
    if not told:
        return []
    return [f"Outlets in another tile than under {rows[0]['name']}: {', '.join(told)}."]


def _ends(rows: Sequence[Row], figure: Callable[[Row], float]) -> tuple[list[int], list[int]]:
    """Return which rows have the least figure and which the greatest; none where all agree."""
    values = [figure(row) for row in rows]
    least, most = min(values), max(values)
    best = [at for at, value in enumerate(values) if value == least]
    return best, [at for at, value in enumerate(values) if value == most and most != least]


def _names(rows: Sequence[Row], which: Sequence[int]) -> str:
    names = [str(rows[at]["name"]) for at in which]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _ratio(moved: Mapping[str, int]) -> float:
    return moved["moved"] / moved["outlets"] if moved["outlets"] else 0.0


def _share(moved: Mapping[str, int] | None) -> str:
    return "other grid" if moved is None else f"{_ratio(moved):.1%}"


def _km(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
