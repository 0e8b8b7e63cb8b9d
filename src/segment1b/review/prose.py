"""The texts of an evidence bundle: what a person reads before opening any of its files."""

from __future__ import annotations

from typing import Any

from segment1b.review.proof import REPEATS
from segment1b.review.records import datasets, embedded_surfaces, notice
from segment1b.review.sample import Sampled

Rows = list[dict[str, Any]]

#: What each file or folder of the bundle is, in reading order.
CONTENTS = {
    "README.md": "this text",
    "manifest.json": "identity, law, counts, flag, contracts, and which files are volatile",
    "determinism.md": "the run made again, digests side by side (`determinism.json` for machines)",
    "checks.json": "every check of every validator: what it proves, how many rows offend",
    "samples/": "whole pairs of every published table, as Parquet and as CSV",
    "worked/": "one sampled outlet step by step: its tiles by the law, its coordinate by the draws",
    "reports/": "the run report of each state with its receipts",
    "seal/": "the gate's receipt: which inputs were sealed, by which digests",
    "policy/": "every policy in force and the digests of the reference surfaces",
    "contracts/": "path, key, columns, units, licence and retention of every dataset",
    "validation_bundle/": "the bundle that opens the sites, with its index and `_passed.flag`",
    "NOTICE.md": "licences and attribution",
    "rederive.py": "derives the numbers again; needs Python's standard library only",
    "volatile/": "clocks, machine, libraries, time and memory; reports as they lie in the root",
    "SHA256SUMS": "the digest of every other file",
}


def readme(manifest: dict[str, Any], sampled: Sampled, story: Rows, names: list[str]) -> str:
    """Return the index: what the bundle says, and how a reviewer checks it.

    Args:
        manifest: the bundle's manifest.
        sampled: its data sample.
        story: the sampled rows of one outlet, a row each of requirements, plan, assignment, offset,
            tile and location.
        names: the files and folders at the bundle's top.
    """
    counts = manifest["counts"]
    size = {row["table"]: row for row in manifest["samples"]}
    table = [f"| `{name}` | {what} |" for name, what in CONTENTS.items() if name in names]
    lines = [
        "# Evidence of a run",
        "",
        f"This folder is about one run of {manifest['program']}: "
        f"{counts['sites']:,} outlets of {counts['merchants']:,} merchants",
        f"in {counts['countries']:,} countries, put on the map under the law "
        f"`{manifest['law']}`. It was written by `segment1b evidence`",
        "from a data root that had passed all its checks; of one that had not, there is no such folder.",
        "",
        "| token | value |",
        "|---|---|",
        *(
            f"| `{name}` | `{manifest[name]}` |"
            for name in ("seed", "manifest_fingerprint", "parameter_hash", "run_id")
        ),
        f"| flag | `{manifest['flag_sha256_hex']}` |",
        "",
        "## In five minutes",
        "",
        "1. Is the folder whole, and are its bytes those that were handed over?",
        "",
        "    ```",
        "    sha256sum --check --quiet SHA256SUMS",
        "    ```",
        "",
        "2. Does it say one thing throughout, and does the validation bundle inside open by its own",
        "   flag? (This needs segment1b; it runs no state.)",
        "",
        "    ```",
        "    segment1b verify-bundle .",
        "    ```",
        "",
        "3. Do the numbers follow from each other? (This needs nothing but Python.)",
        "",
        "    ```",
        "    python rederive.py",
        "    ```",
        "",
        "4. Was it luck? [determinism.md](determinism.md): the run was made again",
        f"   {_repeated()},",
        f"   and all {manifest['determinism']['datasets']} datasets and logs came out the same.",
        f"5. Who checked? [checks.json](checks.json): {manifest['checks']} checks, which share no code with",
        "   the states they check, and no row that offends.",
        "",
        "What the clock and the machine had to do with it lies under `volatile/`. Everything else, but",
        "`SHA256SUMS` itself, is the same byte for byte when the bundle is made again from the same root.",
        "",
        "## How to re-derive a number",
        "",
        *_story(story),
        "",
        "`worked/explain.json` tells how the law came to these tiles, with quotas and offsets, and",
        "`worked/replay.json` how the draws came to this coordinate. The same, for any other outlet, from",
        "the data root: `segment1b explain` and `segment1b replay`.",
        "",
        "A *content digest* proves the values of a whole dataset and needs all of its rows, so it is",
        "derived from the data root: one SHA-256 for each column over its values in row order (numbers as",
        "little-endian bytes, text as its length in four bytes and then its UTF-8 bytes), then one",
        "SHA-256 over these digests in column order.",
        "",
        "## The sample",
        "",
        f"{len(sampled.pairs)} pairs of merchant and country, drawn by the run id, each with all of its "
        "rows and tiles,",
        "so that an outlet can be followed through every file.",
        "",
        "| table | rows here | rows of the run |",
        "|---|---:|---:|",
        *(f"| `{name}` | {row['rows']:,} | {row['of_rows']:,} |" for name, row in size.items()),
        "",
        "## What is here",
        "",
        "| file | what |",
        "|---|---|",
        *table,
        "",
        "The population behind the weights is a synthetic prior and no census, unless the run had a",
        "raster of its own; see [NOTICE.md](NOTICE.md).",
    ]
    return "\n".join(lines) + "\n"


def _story(story: Rows) -> list[str]:
    need, plan, assigned, offset, tile, location = story
    who = f"merchant {need['merchant_id']} in {need['legal_country_iso']}"
    return [
        f"Take outlet {assigned['site_order']} of {who}.",
        "",
        f"1. `samples/s3_requirements.csv`: {who} needs {need['n_sites']:,} "
        f"{'site' if need['n_sites'] == 1 else 'sites'}.",
        f"2. `samples/s4_alloc_plan.csv`: tile {plan['tile_id']} gets {plan['n_sites_tile']:,} of them; "
        "the pair's rows add up",
        f"   to {need['n_sites']:,}.",
        f"3. `samples/s5_site_tile_assignment.csv`: outlet {assigned['site_order']} goes to tile "
        f"{assigned['tile_id']}.",
        f"4. `samples/tile_bounds.csv`: the middle of that tile is at {tile['centroid_lon_deg']!r}, "
        f"{tile['centroid_lat_deg']!r} degrees.",
        f"5. `samples/s6_site_jitter.csv`: the outlet lies {offset['delta_lon_deg']!r}, "
        f"{offset['delta_lat_deg']!r}",
        "   degrees from the middle.",
        f"6. `samples/site_locations.csv`: {location['lon_deg']!r}, {location['lat_deg']!r}: the two sums.",
    ]


def _repeated() -> str:
    """Say how the run was made again."""
    ways = [
        f"with the engine `{engine}` and {workers} {'worker' if workers == 1 else 'workers'}"
        for engine, workers in REPEATS
    ]
    return " and ".join(ways)


def determinism(found: dict[str, Any]) -> str:
    """Return the proof of determinism as a table that a person can read."""
    heads = ["published"] + [f"{r['engine']}, {r['workers']}" for r in found["repeats"]]
    lines = [
        "# Determinism",
        "",
        "The content digest of every dataset and log: as published, and as the run came out when it was",
        "made again from the same sealed inputs",
        f"{_repeated()}.",
        "The digests are cut to 16 digits here; `determinism.json` has them whole, with those over bytes.",
        "",
        "| state | dataset | rows | " + " | ".join(heads) + " | equal | bytes |",
        "|---|---|---:|" + "---|" * (len(heads) + 2),
    ]
    for entry in found["datasets"]:
        digests = " | ".join(f"`{digest[:16]}`" for digest in entry["content_sha256_hex"])
        same = "yes" if len(set(entry["content_sha256_hex"])) == 1 else "NO"
        raw = entry.get("sha256_hex")
        whole = "has a clock" if raw is None else "equal" if len(set(raw)) == 1 else "differ"
        lines.append(
            f"| {entry['state']} | `{entry['dataset_id']}` | {entry['rows']:,} | {digests} | {same} "
            f"| {whole} |"
        )
    lines += [
        "",
        "Bytes may differ where another version of the Parquet library compressed the published files;",
        "content may not.",
    ]
    return "\n".join(lines) + "\n"


def notices(known: Any, surfaces: dict[str, str]) -> str:
    """Return licences of the datasets, and the notices of the surfaces that ship with the project."""
    own = embedded_surfaces(surfaces)
    lines = [
        "# Licences and attribution",
        "",
        "The licence of each dataset, as the dictionary has it. The samples carry the licence of the",
        "dataset they were taken from.",
        "",
        "| dataset | licence |",
        "|---|---|",
        *(f"| `{entry['dataset_id']}` | {entry['licence']} |" for entry in datasets(known)),
        "",
        "Reference surfaces of this run, by SHA-256; those marked are the very files that ship with the",
        "project, the others were laid by whoever made the run, who answers for their licence.",
        "",
        "| surface | SHA-256 | ships with the project |",
        "|---|---|---|",
        *(
            f"| `{name}` | `{digest}` | {'yes' if name in own else 'no'} |"
            for name, digest in sorted(surfaces.items())
        ),
        "",
        "What follows are the project's own notices, for what ships with it and what is made from it.",
        "",
    ]
    return "\n".join(lines) + "\n" + notice().replace("# ", "## ", 1)
