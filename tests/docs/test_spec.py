"""The specification: its worked numbers are those of the code, and what cites it finds it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from read.test_likeness import figures as likeness_figures
from segment1b.contracts.trades import LAYERS, load_trades
from segment1b.errors import Segment1BError
from segment1b.geo.areas import cell_area_m2
from segment1b.geo.grid import Grid
from segment1b.identity import Identity
from segment1b.laws.apportionment import largest_remainder, quantise
from segment1b.laws.assignment import permuted, sites_of, words
from segment1b.laws.centres import centres_of
from segment1b.laws.curves import hilbert_index
from segment1b.laws.jitter import Tiles, draws, in_tile, point
from segment1b.laws.mixture import country_percents, layers_of, mix, totals
from segment1b.laws.philox import alloc_offsets, key_of, philox4x64, u01
from segment1b.laws.points import balanced_points, stable_points, systematic_points
from segment1b.outlets.merchants import merchant_numbers
from segment1b.outlets.pairs import read_outlets
from segment1b.states.quality import gini
from segment1b.states.s3_requirements import Outlets, count_pairs
from segment1b.states.s8_egress import _RANKS
from segment1b.storage.bundles import flag_line, joined_digest
from segment1b.storage.parts import cut_tiles

REPOSITORY = Path(__file__).parents[2]
SPEC = REPOSITORY / "docs" / "spec"
_CITATION = re.compile(r"docs/spec/([\w-]+\.md)(?:#([\w-]+))?")
WORLD = Grid(-180.0, 90.0, 1 / 120, 1 / 120, 21600, 43200)


def worked(page: str, column: str) -> list[dict[str, str]]:
    """Return the rows of the table of a page's worked numbers that has a column."""
    text = (SPEC / f"{page}.md").read_text(encoding="utf-8").partition("## Worked numbers")[2]
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = [
            [cell.strip().strip("`") for cell in line.strip("|").split(" |")]
            for line in table.replace("||", "| |").splitlines()
        ]
        if column in lines[0]:
            return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
    raise AssertionError(f"{page}: no worked table has a column {column}")


def whole(cell: str) -> list[int]:
    """Return the whole numbers of a cell."""
    return [int(text) for text in re.findall(r"-?\d+", cell)]


def test_every_citation_in_the_code_leads_to_a_heading() -> None:
    cited = {
        (page, anchor)
        for folder in ("src", "tests")
        for path in sorted((REPOSITORY / folder).rglob("*"))
        if path.suffix in (".py", ".sql", ".jinja", ".js")
        for page, anchor in _CITATION.findall(path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 5
    for page, anchor in sorted(cited):
        assert anchor, f"{page} is cited without a heading"
        text = (SPEC / page).read_text(encoding="utf-8")
        titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {title.lower().replace(" ", "-") for title in titles}, (page, anchor)


def test_bits_of_a_comparison() -> None:
    (row,) = worked("realism", "bits")
    assert likeness_figures()["bits"] == pytest.approx(float(row["bits"]), rel=1e-5)


def test_run_id() -> None:
    for row in worked("identity", "run id"):
        identity = Identity(int(row["seed"]), "11" * 32, "22" * 32)
        assert identity.run_id == row["run id"]


def test_joined_digests_and_flags() -> None:
    files = {row["file"]: row["bytes"].encode() for row in worked("receipts", "file")}
    (row,) = worked("receipts", "digest")
    assert b"".join(files[name] for name in sorted(files)).decode() == row["of"]
    assert joined_digest(files) == row["value"]
    (row,) = worked("s0-gate", "flag")
    assert flag_line(joined_digest(files)).decode() == row["flag"] + "\n"
    (row,) = worked("s9-proof", "F")
    two = {name: f"{row[name]}\n".encode() for name in ("MANIFEST.json", "index.json")}
    assert joined_digest(two) == row["F"]


def test_outlet_lists(tmp_path: Path) -> None:
    for row in worked("outlet-lists", "id"):
        assert merchant_numbers(pa.array([row["id"]])).tolist() == [int(row["number"])]
    rows = worked("outlet-lists", "position")
    names = list(rows[0])[:-1]
    lines = [",".join(names), *(",".join(row[name] for name in names) for row in rows)]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    pairs = read_outlets(path, {"DE", "FR"})
    assert pairs.directories is not None
    found = {row["digest"]: row["hex"] for row in worked("outlet-lists", "digest")}
    assert {**pairs.directories.digests, "fingerprint": pairs.fingerprint} == found
    outlets = pairs.directories.tables["outlet_directory"].to_pylist()
    place = {row["outlet_id"]: str(row["site_order"]) for row in outlets}
    assert place == {row["outlet_id"]: row["position"] for row in rows}


def test_packing_of_countries() -> None:
    for row in worked("publishing", "files"):
        counts = dict(zip(("AA", "BB", "CC"), map(int, list(row.values())[:3]), strict=True))
        files = ["+".join(code for code, _, _ in file.stretches) for file in cut_tiles(counts)]
        assert ", ".join(files) == row["files"]


def test_philox_and_uniforms() -> None:
    for row in worked("random-numbers", "block"):
        key = [int(word, 16) for word in row["key"].split()]
        if row["block"] != "zero":
            label = {"S5": "site_tile_assign", "S6": "in_cell_jitter"}[row["block"]]
            assert key == list(key_of(label, 42))
        blocks = philox4x64(tuple(whole(row["counter"])), (key[0], key[1]))
        for word, block in zip((row["w0"], row["w1"]), blocks, strict=False):
            assert not word or int(word, 16) == int(block[0])
    for row in worked("random-numbers", "word"):
        (u,) = u01(np.array([int(row["word"], 16)], np.uint64))
        assert f"{u:.7f}" == row["u01, 7 digits"]


def test_accounting_of_five_sites() -> None:
    attempts = [1, 1, 3, 1, 1]
    s5, s6 = worked("random-numbers", "events")
    assert list(s5.values())[1:] == [str(len(attempts))] * 3
    assert list(s6.values())[1:] == [str(sum(attempts) * factor) for factor in (1, 1, 2)]


def test_tiles() -> None:
    for row in worked("s1-tiles", "tile_id"):
        at = int((90 - float(row["latitude"])) * 120), int((float(row["longitude"]) + 180) * 120)
        assert at == (int(row["row"]), int(row["col"]))
        assert WORLD.tile_id(*at) == int(row["tile_id"])
        assert f"{WORLD.centre_lat(at[0]):.7f}" == row["centre lat"]
        assert f"{WORLD.centre_lon(at[1]):.7f}" == row["centre lon"]
    for row in worked("s1-tiles", "pixel_area_m2"):
        (area,) = WORLD.area_m2([whole(row["row"])[0]])
        assert f"{area:.6f}" == row["pixel_area_m2"]
    assert cell_area_m2(360.0, -90.0, 90.0, 180.0) == pytest.approx(510065621724088, rel=1e-11)


def test_weights() -> None:
    for row in worked("s2-weights", "masses"):
        masses = np.array(whole(row["masses"]), np.int64)
        weights, shortfall = quantise(masses, 10 ** int(row["dp"]))
        assert (weights.tolist(), shortfall) == (whole(row["weights"]), int(row["S"]))


def test_centres_of_tiles() -> None:
    for row in worked("s2-weights", "people"):
        people = np.array([round(float(row["people"]) * 10**6)])
        assert centres_of(people, 12_000).tolist() == [int(row["centres"])]


def test_draws_at_a_centre() -> None:
    shares = worked("s6-points", "C")[0]
    del shares["C"]
    for count, total in shares.items():
        assert sum(2**40 // rank for rank in range(1, int(count) + 1)) == int(total)
    for row in worked("s6-points", "words"):
        label = row["words"].split(",")[0].strip("`")
        counter = (1, 1, 101, 18242) if label == "centre_jitter" else (1, 5, 1348181, 18242)
        blocks = philox4x64(counter, key_of(label, 42))
        for word, block in zip(("w0", "w1", "w2", "w3"), blocks, strict=True):
            assert not row[word] or int(row[word], 16) == int(block[0])


def test_requirements() -> None:
    for row in worked("s3-requirements", "site_order"):
        sites = np.array(whole(row["site_order"]))
        count, country = len(sites), 256 * ord("D") + ord("E")
        rows = Outlets(
            np.full(count, 17, np.uint64),
            np.full(count, country, np.uint16),
            sites,
            sites,
            np.full(count, int(row["declared count"])),
        )
        try:
            pairs: pa.Table = count_pairs(rows, ())[0]
            result = str(pairs["n_sites"][0].as_py())
        except Segment1BError as error:
            result = error.code
        assert result == row["result"], row


def test_allocation() -> None:
    weights, K, n = np.array([700, 300], np.int64), 1000, np.array([5])
    for row in worked("s4-allocation", "method"):
        base, _, power = row["U"].partition("^")
        offset = np.array([int(base or 0) ** int(power or 1)], np.uint64)
        points = {
            "systematic": lambda u=offset: systematic_points(u, n, K),
            "stable": lambda u=offset: stable_points(u, n, K),
            "balanced": lambda: balanced_points(0, 5, 5, K),
        }.get(row["method"])
        if points is None:
            sites = largest_remainder(weights, 5, K).counts.tolist()
        else:
            assert points().tolist() == whole(row["points"])
            sites = [int((points() < 700).sum()), int((points() >= 700).sum())]
        assert sites == whole(row["sites"])
    for row in worked("s4-allocation", "country"):
        merchant = np.array([int(row["merchant_id"])], np.uint64)
        assert alloc_offsets(42, merchant, row["country"]) == int(row["U"], 16)
    for row in worked("s4-allocation", "col 0"):
        at, *index = map(int, row.values())
        assert hilbert_index(np.full(4, at), np.arange(4), 2).tolist() == index


def test_assignment() -> None:
    tiles = np.array([7001, 7002, 7005], np.uint64)
    sites = sites_of(np.full(3, 101, np.uint64), tiles, np.array([2, 1, 2]))
    word = words(42, "GB", sites)
    place = np.argsort(np.argsort(word)) + 1
    found = [
        [str(order), f"{u:.4f}", str(at), str(tile)]
        for order, u, at, tile in zip(
            sites.order, u01(word), place, permuted(sites, word)[0], strict=True
        )
    ]
    assert found == [list(row.values()) for row in worked("s5-assignment", "site_order")]


def tiles(west: float, east: float, lon: float) -> Tiles:
    """Return one tile of some longitudes, at the latitudes of the page."""
    return Tiles(*(np.array([value]) for value in (51.50, 51.55, west, east, 51.525, lon)))


def test_points() -> None:
    tile = tiles(-0.25, -0.20, -0.225)
    for row in worked("s6-points", "attempt"):
        u = draws(42, "GB", int(row["attempt"]), np.array([101], np.uint64), np.array([1]))
        offset = in_tile(u, tile)
        found = [*(f"{v[0]:.7f}" for v in u), *(f"{v[0]:.8f}" for v in offset)]
        found += [f"{v[0]:.8f}" for v in point(*offset, tile)]
        assert found == list(row.values())[1:]
    for row in worked("s6-points", "min_lon"):
        across = tiles(*(float(row[name]) for name in ("min_lon", "max_lon", "centroid_lon")))
        d_lon, d_lat = in_tile((np.array([float(row["u0"])]), np.array([0.5])), across)
        assert round(float(d_lon[0]), 8) == float(row["d_lon"])
        assert round(float(point(d_lon, d_lat, across)[0][0]), 8) == float(row["lon"])


def test_coordinates() -> None:
    for row in worked("s7-join", "lon_deg"):
        centre, delta, lon = map(float, row.values())
        found = point(np.array([delta]), np.zeros(1), tiles(0, 0, centre))[0][0]
        assert round(float(found), 8) == lon


def test_names_that_rank() -> None:
    for row in worked("s8-site-locations", "column"):
        assert bool(_RANKS.search(row["column"])) == (row["ranks"] == "yes")


def test_gini() -> None:
    for row in worked("s9-proof", "country_gini"):
        assert gini(np.array(whole(row["sites by country"]))) == float(row["country_gini"])


def test_mixtures_of_layers() -> None:
    rows = worked("trades", "metres")
    names = ("people", "urban", "metres")
    people, urban, metres = (np.array([whole(r[n])[0] for r in rows]) for n in names)
    layers = layers_of(people * 10**6, np.ones(4, np.int64), urban, metres)
    shares = [quantise(layer.copy(), 100)[0] for layer in layers]
    percents = country_percents(load_trades().percents["fast_food"], totals(layers), 12, 4)
    assert mix(shares, percents, 100).tolist() == [whole(row["weight"])[0] for row in rows]
    for name in ("population", "urban_people", "roads"):
        share = shares[LAYERS.index(name)]
        assert share.tolist() == [whole(row[name])[0] for row in rows]


def test_percents_of_a_country() -> None:
    for row in worked("trades", "in this country"):
        percents = tuple(whole(row["percents"]))
        assert percents == load_trades().percents[row["trade"]]
        found = country_percents(percents, [1000, 4, 1, 20, 1], 12, 4)
        assert list(found) == whole(row["in this country"])
