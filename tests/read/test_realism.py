"""A run is compared with a file of real outlets, of which nothing is kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import listed
import segment1b
from published import raises
from read.test_commands import said
from segment1b.read import likeness, real_outlets
from segment1b.read.real_outlets import read_real
from spoil import World

ISO = {"NL", "ZA", "LS"}
GOOD = "lon,lat,country,chain\n4.9,52.4,NL,a\n28.0,-26.2,ZA,b\n"


@pytest.fixture
def trades(published: Callable[[str], World]) -> World:
    """Return a world that is read and not changed."""
    return published("trades")


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def as_real(world: World, path: Path, **more: Any) -> Path:
    """Write the sites of a world as if they were real outlets, the last first."""
    sites = pq.read_table(world.part("site_locations")).to_pylist()[::-1]
    lines = [
        f"{s['lon_deg']},{s['lat_deg']},{s['legal_country_iso']},{s['merchant_id']}" for s in sites
    ]
    return write(path, "\n".join(["lon,lat,country,chain", *lines]) + "\n")


def test_sites_are_like_themselves(
    trades: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "LARGE", 10)
    found = segment1b.realism(trades.root, as_real(trades, tmp_path / "real.csv"))
    figures = found["groups"]["all"]
    assert figures["outlets"]["real"] == figures["outlets"]["placed"] == found["outlets"]["real"]
    assert figures["nearest_own_ks"] == 0
    assert figures["overlap_half_degree"] == 1
    assert figures["large_countries"] >= 3
    pairs = [figures["top_1_percent_share"], figures["urban_share"]]
    pairs += [*figures["ripley_l_km"].values(), *figures["colocated_m"].values()]
    assert all(pair["real"] == pair["placed"] for pair in pairs)
    assert all(row["outside"] == {"real": 0, "placed": 0} for row in figures["by_country"].values())
    # Mixed by trades, the run expects its outlets better than people alone do.
    assert figures["bits"] > 0


def test_trades_are_compared_one_by_one(trades: World, tmp_path: Path) -> None:
    rows = ["lon,lat,country,mcc", "4.9,52.4,NL,5541", "4.8,52.3,NL,5813", "4.8,52.3,NL,1"]
    real = write(tmp_path / "real.csv", "\n".join(rows) + "\n")
    found = segment1b.realism(trades.root, real)
    assert sorted(found["groups"]) == ["everything", "fuel", "restaurants_and_coffee"]
    assert all(g["outlets"]["real"] == 1 for g in found["groups"].values())
    total = sum(g["outlets"]["placed"] for g in found["groups"].values())
    sites = pq.read_table(trades.part("site_locations"))["legal_country_iso"].to_pylist()
    assert total == sites.count("NL")
    assert found["groups"]["everything"]["bits"] == 0
    assert "the file has no chains: no distances between outlets of a chain" in found["notes"]


def test_countries_and_merchants_can_be_chosen(trades: World, tmp_path: Path) -> None:
    real = as_real(trades, tmp_path / "real.csv")
    sites = pq.read_table(trades.part("site_locations")).to_pylist()
    chosen = [s for s in sites if s["legal_country_iso"] == "NL"]
    merchant = chosen[0]["merchant_id"]
    words = ["realism", "--against", real, "--data-root", trades.root, "--country", "NL"]
    found = json.loads(said(*words, "--merchant", merchant, "--json"))
    assert found["countries"] == ["NL"]
    assert found["groups"]["all"]["outlets"] == {
        "real": len(chosen),
        "placed": sum(s["merchant_id"] == merchant for s in chosen),
    }


def test_the_command_prints_tables_and_draws_a_page(trades: World, tmp_path: Path) -> None:
    real, out = as_real(trades, tmp_path / "real.csv"), tmp_path / "plot.html"
    before = sorted(path for path in trades.root.rglob("*") if path.is_file())
    words = ["realism", "--against", real, "--data-root", trades.root]
    text = said(*words, "--plot", out)
    assert "share in urban cells" in text
    assert "Ripley's L at 50 km" in text
    page = out.read_text(encoding="utf-8")
    assert "real outlets" in page
    # Nothing is loaded from elsewhere, and nothing of the file is in the root.
    assert not re.search(r"<(?:script|link|img)[^>]*\s(?:src|href)=", page)
    assert before == sorted(path for path in trades.root.rglob("*") if path.is_file())
    with raises("E_USAGE", "exists already"):
        segment1b.realism(trades.root, real, plot=out)


@pytest.mark.code("E_USAGE")
def test_countries_and_trades_without_outlets_on_both_sides_are_refused(
    trades: World, tmp_path: Path
) -> None:
    real = write(tmp_path / "real.csv", "lon,lat,country,chain\n2.3,48.9,FR,a\n")
    with raises("E_USAGE", "the real outlets are in FR"):
        segment1b.realism(trades.root, real)
    hotel = write(tmp_path / "hotel.csv", "lon,lat,country,trade\n4.9,52.4,NL,hotels\n")
    with raises("E_USAGE", "no trade has both real and placed outlets"):
        segment1b.realism(trades.root, hotel)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("181,52,NL,a", ", column lon: '181' is not a number of degrees from -180 to 180"),
        ("4,-90.5,NL,a", ", column lat: '-90.5' is not a number of degrees from -90 to 90"),
        ("nan,52,NL,a", ", column lon: 'nan' is not a number"),
        ("1_0,52,NL,a", ", column lon: '1_0' is not a number"),
        (",52,NL,a", ", column lon: value is missing"),
        ("4,52,nl,a", ", column country: 'nl' is not two upper-case letters: nl is NL \\(correct"),
        ("4,52,XX,a", ", column country: 'XX' is not in the ISO table"),
        ("4,52,NL,", ", column chain: value is missing"),
        (f"4,52,NL,{'a' * 257}", ", column chain: .* more than 256 bytes"),
        ("4,52,NL", ": 3 fields, the first line has 4"),
    ],
)
@pytest.mark.code("E_OUTLETS_INVALID")
def test_bad_rows_are_refused_with_their_lines(tmp_path: Path, text: str, reason: str) -> None:
    real = write(tmp_path / "real.csv", f"{GOOD}{text}\n")
    with raises("E_OUTLETS_INVALID", f"has 1 bad row:\n  line 4{reason}"):
        read_real(real, ISO, {})


@pytest.mark.code("E_OUTLETS_INVALID")
def test_bad_trades_and_columns_are_refused(tmp_path: Path) -> None:
    trade = write(tmp_path / "t.csv", "lon,lat,country,trade\n4,52,NL,fuell\n")
    with raises("E_OUTLETS_INVALID", "line 2, column trade: 'fuell' is not a trade"):
        read_real(trade, ISO, {})
    for header, what in (
        ("lat,country,chain", "has no column lon"),
        ("lon,lat,country", "has no column chain"),
        ("lon,lat,country,trade,mcc", "has both trade and mcc"),
        ("lat,lng,long,country,chain", "has several columns that may be lon"),
    ):
        row = ",".join("1" for _ in header.split(","))
        with raises("E_OUTLETS_INVALID", what):
            read_real(write(tmp_path / "h.csv", f"{header}\n{row}\n"), {"1"}, {})


@pytest.mark.code("E_INPUT_TOO_LARGE")
def test_sizes_are_bounded(trades: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = write(tmp_path / "real.csv", GOOD)
    monkeypatch.setattr("segment1b.read.realism.MAX_POINTS", 100)
    with raises("E_INPUT_TOO_LARGE", "more than 100 sites"):
        segment1b.realism(trades.root, real)
    monkeypatch.setattr(real_outlets, "MAX_POINTS", 1)
    with raises("E_INPUT_TOO_LARGE", "more than 1 rows"):
        read_real(real, ISO, {})


def test_formats_and_names_are_those_of_outlet_lists(tmp_path: Path) -> None:
    wanted = read_real(write(tmp_path / "real.csv", GOOD), ISO, {}).table
    columns = {
        "Longitude": pa.array([4.9, 28.0]),
        "Lat": pa.array([52.4, -26.2]),
        "iso2": ["NL", "ZA"],
        "x": pa.array(["a", "b"]).dictionary_encode(),
    }
    file = tmp_path / "real.parquet"
    file.write_bytes(listed.parquet(pa.table(columns)))
    found = read_real(file, ISO, {"chain": "x"})
    assert found.table.to_pydict() == wanted.to_pydict()
    assert "Longitude is read as lon" in found.notes
    book = tmp_path / "real.xlsx"
    rows = [["lon", "lat", "country", "brand"], [4.9, 52.4, "NL", "a"], [28, -26.2, "ZA", "b"]]
    book.write_bytes(listed.xlsx(rows))
    assert read_real(book, ISO, {}).table.to_pydict() == wanted.to_pydict()
