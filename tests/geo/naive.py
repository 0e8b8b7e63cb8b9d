"""Drawings of cells, and the rules of the tile index in exact arithmetic, cell by cell."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import shapely
from shapely import MultiPolygon, Polygon

from segment1b.geo.grid import Grid
from segment1b.geo.scanline import Runs

Point = tuple[Fraction, Fraction]
Ring = list[Point]
Cells = set[tuple[int, int]]
INSIDE, BORDER, OUTSIDE = 1, 0, -1


class Cell(NamedTuple):
    west: Fraction
    south: Fraction
    east: Fraction
    north: Fraction


def unit_grid(nrows: int, ncols: int) -> Grid:
    """Return cells of one degree whose south-west corner is (0, 0)."""
    return Grid(0.0, float(nrows), 1.0, 1.0, nrows, ncols)


def shape(*polygons: Polygon | Iterable[tuple[float, float]]) -> MultiPolygon:
    """Return polygons, or rings of points, as one shape."""
    return MultiPolygon([p if isinstance(p, Polygon) else Polygon(p) for p in polygons])


def cells(runs: Runs) -> Cells:
    rows, cols = runs.expand(0, runs.count)
    return set(zip(rows.tolist(), cols.tolist(), strict=True))


def drawn(runs: Runs, grid: Grid) -> list[str]:
    """Return the rows of the grid from the north, # for a cell that is in."""
    held = cells(runs)
    return [
        "".join("#" if (row, col) in held else "." for col in range(grid.ncols))
        for row in range(grid.nrows)
    ]


def center_cells(country: MultiPolygon, grid: Grid) -> Cells:
    """Return the cells of rule `center`, each centre tested against every ring."""
    return {
        (row, col)
        for row, col in itertools.product(range(grid.nrows), range(grid.ncols))
        if any(
            _in_closed_shell_and_no_closed_hole(polygon, point)
            for polygon in _polygons(country)
            for point in _turned(_centre(grid, row, col))
        )
    }


def overlap_cells(country: MultiPolygon, grid: Grid) -> Cells:
    """Return the cells of rule `any_overlap`, each cell tested against every edge."""
    polygons = _polygons(country)
    return {
        (row, col)
        for row, col in itertools.product(range(grid.nrows), range(grid.ncols))
        if any(
            _interiors_meet(polygon, cell)
            for polygon in polygons
            for cell in _boxes(grid, row, col)
        )
    }


def locate(ring: Ring, point: Point) -> int:
    x, y = point
    inside = False
    for (ax, ay), (bx, by) in itertools.pairwise(ring):
        turn = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        if turn == 0 and min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by):
            return BORDER
        if (ay > y) != (by > y) and ax + (y - ay) * (bx - ax) / (by - ay) > x:
            inside = not inside
    return INSIDE if inside else OUTSIDE


def _polygons(country: MultiPolygon) -> list[tuple[Ring, list[Ring]]]:
    return [
        (_ring(polygon.exterior), [_ring(hole) for hole in polygon.interiors])
        for polygon in shapely.get_parts(country)
    ]


def _ring(ring: shapely.LinearRing) -> Ring:
    return [(Fraction(x), Fraction(y)) for x, y in ring.coords]


def _centre(grid: Grid, row: int, col: int) -> Point:
    return Fraction(grid.x0 + grid.a * (col + 0.5)), Fraction(grid.y0 - grid.b * (row + 0.5))


def _turned(point: Point) -> list[Point]:
    return [(point[0] + turn, point[1]) for turn in (-360, 0, 360)]


def _boxes(grid: Grid, row: int, col: int) -> Iterator[Cell]:
    south, north = (Fraction(grid.y0 - grid.b * r) for r in (row + 1, row))
    west, east = (Fraction(grid.x0 + grid.a * c) for c in (col, col + 1))
    for turn in (-360, 0, 360):
        yield Cell(west + turn, south, east + turn, north)


def _in_closed_shell_and_no_closed_hole(polygon: tuple[Ring, list[Ring]], point: Point) -> bool:
    shell, holes = polygon
    if locate(shell, point) == OUTSIDE:
        return False
    return all(locate(hole, point) == OUTSIDE for hole in holes)


def _interiors_meet(polygon: tuple[Ring, list[Ring]], cell: Cell) -> bool:
    shell, holes = polygon
    if any(_enters(a, b, cell) for ring in (shell, *holes) for a, b in itertools.pairwise(ring)):
        return True
    middle = (cell.west + cell.east) / 2, (cell.south + cell.north) / 2
    return locate(shell, middle) == INSIDE and all(locate(h, middle) == OUTSIDE for h in holes)


def _enters(a: Point, b: Point, cell: Cell) -> bool:
    """Return whether a segment has a point in the open cell: between two cuts, halves decide."""
    shares = {Fraction(0), Fraction(1)}
    for axis, lines in ((0, (cell.west, cell.east)), (1, (cell.south, cell.north))):
        if a[axis] != b[axis]:
            shares |= {(line - a[axis]) / (b[axis] - a[axis]) for line in lines}
    for low, high in itertools.pairwise(sorted(s for s in shares if 0 <= s <= 1)):
        share = (low + high) / 2
        x, y = (p + share * (q - p) for p, q in zip(a, b, strict=True))
        if cell.west < x < cell.east and cell.south < y < cell.north:
            return True
    return False


def hollow(shell: Polygon, *holes: Polygon) -> Polygon:
    """Return a polygon with the outlines of others as its holes."""
    return Polygon(shell.exterior, [hole.exterior for hole in holes])
