"""Rings at a pole: producer and validator see one area, whatever a ring's start and direction."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from shapely import MultiPolygon, Polygon, box
from shapely.affinity import translate

import worlds
from segment1b import contracts
from segment1b.audit import validate
from segment1b.audit.country_areas import Area
from segment1b.audit.s1.polygons import Country, read_countries
from segment1b.geo.countries import unite, valid_pieces
from segment1b.identity import Identity

Ring = list[tuple[float, float]]
COAST: Ring = [(-180, -70), (-120, -66), (-60, -72), (0, -65), (60, -70), (120, -67), (180, -70)]
OPEN: Ring = COAST[1:-1]
CAP = Polygon([(-180, -90), *COAST, (180, -90)])
# The stitched coast joins (120, -67) and (-120, -66): it meets the date line half way.
STITCHED = Polygon([(-180, -90), (-180, -66.5), *OPEN, (180, -66.5), (180, -90)])


def wound(lat: float, first: int = -150) -> Ring:
    return [(lon, lat) for lon in range(first, first + 360, 60)]


def belt(south: float, north: float) -> Polygon:
    return box(-180, south, 180, north)


#: Shell, holes, and the area they bound between -180 and 180.
CASES: dict[str, tuple[Ring, list[Ring], shapely.Geometry]] = {
    "a seam along the pole": ([*COAST, (180, -90), (-180, -90)], [], CAP),
    "a seam in steps": ([*COAST, (180, -90), (170, -90), (0, -90), (-180, -90)], [], CAP),
    "a seam next to the pole, in steps": (
        [*COAST, *((float(lon), -89.999) for lon in range(180, -181, -90))],
        [],
        Polygon([(-180, -89.999), *COAST, (180, -89.999)]),
    ),
    "the whole globe": ([(-180, -90), (180, -90), (180, 90), (-180, 90)], [], belt(-90, 90)),
    "no seam": (OPEN, [], STITCHED),
    "no seam, and both names of the date line": (COAST, [], CAP),
    "one point of the pole": ([*OPEN, (170, -90)], [], Polygon([*OPEN, (170, -90), (-190, -90)])),
    "down a meridian and back": (
        [(0, -90), (0, -65), *OPEN[3:], *OPEN[:2], (0, -65)],
        [],
        STITCHED,
    ),
    "a wedge": (
        [(170, -80), (170, -90), (-170, -90), (-170, -80)],
        [],
        MultiPolygon([box(170, -90, 180, -80), box(-180, -90, -170, -80)]),
    ),
    "a wedge with a point of the pole": (
        [(170, -80), (178, -90), (-170, -80)],
        [],
        Polygon([(170, -80), (178, -90), (190, -80)]),
    ),
    "from pole to pole": (
        [(170, -90), (-170, -90), (-170, 0), (-160, 90), (175, 90), (175, 0)],
        [],
        Polygon([(-170, -90), (-170, 0), (-160, 90), (175, 90), (175, 0), (170, -90)]),
    ),
    "from pole to pole across the date line": (
        [(170, -90), (-170, -90), (-170, 0), (-160, 90), (-178, 90), (-178, 0)],
        [],
        Polygon([(170, -90), (190, -90), (190, 0), (200, 90), (182, 90), (182, 0)]),
    ),
    "a belt": (wound(-60), [wound(-80)], belt(-80, -60)),
    "a belt of rings with other meridians": (wound(-60), [wound(-80, -130)], belt(-80, -60)),
    "a belt whose hole is the larger ring": (wound(-80), [wound(-60)], belt(-80, -60)),
    "a belt with the equator": (wound(-60), [wound(50)], belt(-60, 50)),
    "a belt with a hole": (
        wound(-60),
        [wound(-80), [(170, -75), (170, -70), (-170, -70), (-170, -75)]],
        belt(-80, -60) - MultiPolygon([box(170, -75, 180, -70), box(-180, -75, -170, -70)]),
    ),
    "a globe without caps": (
        [(-180, -90), (180, -90), (180, 90), (-180, 90)],
        [wound(-60), wound(70)],
        belt(-60, 70),
    ),
    "a cap with a hole across the date line": (
        OPEN,
        [[(175, -80), (-175, -80), (-175, -75), (175, -75)]],
        STITCHED - MultiPolygon([box(175, -80, 180, -75), box(-180, -80, -175, -75)]),
    ),
    "a cap with a hole where its coast was drawn from": (
        OPEN,
        [[(-125, -80), (-115, -80), (-115, -75), (-125, -75)]],
        STITCHED - box(-125, -80, -115, -75),
    ),
}


def mirrored(ring: Ring) -> Ring:
    return [(lon, -lat) for lon, lat in ring]


def north(shape: shapely.Geometry) -> shapely.Geometry:
    return shapely.transform(shape, lambda points: points * [1, -1])


def from_every_start(ring: Ring) -> list[Ring]:
    return [way[k:] + way[:k] for way in (ring, ring[::-1]) for k in range(len(ring))]


def within_the_globe(shape: shapely.Geometry) -> shapely.Geometry:
    globe = box(-180, -90, 180, 90)
    turns = [translate(shape, turn) & globe for turn in (-360, 0, 360)]
    return shapely.union_all(turns)


def produced(polygon: Polygon) -> MultiPolygon:
    return unite(valid_pieces(polygon))


def checked(folder: Path, *polygons: Polygon | MultiPolygon) -> list[Country]:
    """Return polygons as the validator reads them, each as the only one of a country."""
    codes = [f"{k:04}" for k in range(len(polygons))]
    table = pa.table({"country_iso": codes, "geom": [shapely.to_wkb(p) for p in polygons]})
    pq.write_table(table, folder / "countries.parquet")
    return list(read_countries(folder / "countries.parquet"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("pole", ["south", "north"])
def test_a_ring_bounds_the_same_area_from_any_start_in_both_directions(
    name: str, pole: str, tmp_path: Path
) -> None:
    shell, holes, expected = CASES[name]
    if pole == "north":
        shell, holes, expected = mirrored(shell), list(map(mirrored, holes)), north(expected)
    expected = within_the_globe(expected)
    drawn = [Polygon(ring, holes) for ring in from_every_start(shell)]
    drawn += [
        Polygon(shell, [*holes[:k], ring, *holes[k + 1 :]])
        for k in range(len(holes))
        for ring in from_every_start(holes[k])
    ]
    for polygon, country in zip(drawn, checked(tmp_path, *drawn), strict=True):
        assert not country.fault, (polygon, country.fault)
        mine = produced(polygon)
        for shape in (mine, Area(country).shape):
            assert shape.is_valid
            assert shapely.symmetric_difference(shape, expected).area < 1e-9, polygon
        # What has been cut is read as it is.
        (again,) = checked(tmp_path, mine)
        assert shapely.symmetric_difference(Area(again).shape, expected).area < 1e-9


@pytest.mark.parametrize(
    ("shell", "hole"),
    [
        (OPEN, [(170, -60), (-170, -60), (-170, -50), (170, -50)]),
        (OPEN, [(170, -70), (-170, -70), (-170, -60), (170, -60)]),
        (wound(-60), [(lon, -60 + lon / 10) for lon, _ in wound(0)]),
        ([*OPEN, (170, -90)], [(170, -70), (-170, -70), (-170, -60), (170, -60)]),
    ],
    ids=["beside", "across the coast", "around and across", "at a point of the pole"],
)
def test_a_hole_outside_its_shell_is_refused_by_both(
    shell: Ring, hole: Ring, tmp_path: Path
) -> None:
    polygon = Polygon(shell, [hole])
    with pytest.raises(ValueError, match="is invalid: a hole lies outside its shell"):
        produced(polygon)
    (country,) = checked(tmp_path, polygon)
    assert "hole does not lie in its shell" in country.fault


@pytest.mark.parametrize("second", [-65, -75])
def test_three_rings_around_the_globe_are_refused_by_both(second: float, tmp_path: Path) -> None:
    polygon = Polygon(wound(-60), [wound(-80), wound(second)])
    with pytest.raises(ValueError, match="more than one hole"):
        produced(polygon)
    (country,) = checked(tmp_path, polygon)
    assert "more than one hole" in country.fault


@pytest.mark.parametrize(
    "name",
    ["a seam along the pole", "the whole globe", "a cap with a hole across the date line"],
)
def test_tiles_of_a_polygon_at_a_pole_pass_every_check(name: str, tmp_path: Path) -> None:
    shell, holes, _ = CASES[name]
    root = worlds.lay_small_world(tmp_path / "root", degrees=1.0, countries=("AQ",))
    table = pa.table(
        {"country_iso": ["AQ"], "geom": [shapely.to_wkb(Polygon(shell[3:] + shell[:3], holes))]}
    )
    pq.write_table(table, worlds.place(root, "world_countries"))
    outlets = worlds.outlet_list(tmp_path / "outlets.csv", ("AQ",), merchants=3)
    tokens = Identity(**worlds.run(root, outlets=outlets, to_state="s1").identity).places
    results = validate(root, contracts.load(), tokens, ["s1"])
    assert len(results) > 30
    assert not [result for result in results if not result.ok]
