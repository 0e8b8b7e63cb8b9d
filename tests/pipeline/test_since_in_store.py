"""A list follows one that is in an object store."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import worlds
from stores import BUCKET, environment, s3_server
from stores import segment1b as command

KEPT = [f"NL-{n},NL,{n % 3}" for n in range(9)]


def listed(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["outlet_id,country,merchant", *rows]) + "\n")
    return str(path)


@pytest.mark.slow
def test_who_stays_keeps_its_coordinate_when_the_earlier_list_is_in_a_store(tmp_path: Path) -> None:
    surfaces = worlds.lay_small_world(tmp_path / "surfaces", degrees=1.0, countries=("LS", "NL"))
    url = f"s3://{BUCKET}/months"
    with s3_server() as server:
        first, second = (environment(server, tmp_path / name) for name in ("one", "two"))

        def placed(root: str, *words: str, env: dict[str, str]) -> dict[str, str]:
            """Run a list to the end; return the coordinates by outlet_id."""
            ran = command("run", "--data-root", root, "--quiet", "--json", *words, env=env)
            assert ran.returncode == 0, ran.stderr
            out = command("export", "--data-root", root, "--out", "-", env=env)
            assert out.returncode == 0, out.stderr
            sites = [*csv.DictReader(out.stdout.splitlines())]
            followed = json.loads(ran.stdout)["since"]
            assert (followed and followed["kept"]) == (len(KEPT) if "--since" in words else None)
            return {site["outlet_id"]: f"{site['lon_deg']} {site['lat_deg']}" for site in sites}

        january = listed(tmp_path / "jan.csv", *KEPT, "LS-0,LS,0")
        was = placed(url, "--outlets", january, "--world", str(surfaces), env=first)
        february = listed(tmp_path / "feb.csv", *KEPT, "LS-1,LS,1")
        local = str(tmp_path / "local")
        for since, root in ((url, local), (f"{url}:jan", url)):
            now = placed(root, "--outlets", february, "--since", since, env=second)
            assert {key: now[key] for key in was.keys() & now.keys()} == {
                key: place for key, place in was.items() if key != "LS-0"
            }
            assert now.keys() - was.keys() == {"LS-1"}
