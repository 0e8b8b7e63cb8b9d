"""Checks that published sites have passed, by reading (docs/spec/s9-proof.md#reading-gate)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from segment1b import contracts as contract_files
from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.errors import Segment1BError, file_error
from segment1b.identity import Identity
from segment1b.outlets.list_names import default_list, named_tokens
from segment1b.storage.bundles import CHECKSUMS_SCHEMA, RULES, check_summary, open_bundle
from segment1b.storage.durable import coded_os_errors, read_json, read_object
from segment1b.storage.receipts import Receipt, file_names, hash_files, unequal
from segment1b.storage.root import find_root, root_at
from segment1b.storage.snapshot import Snapshot, report_id

if TYPE_CHECKING:
    import polars as pl
    import pyarrow.dataset as ds

EGRESS = "site_locations"
BUNDLE = "validation_bundle_1B"


def verify_bundle(run: Snapshot) -> dict[str, Any]:
    """Check that the sites of one identity passed, and hash every file that a receipt names.

    Returns:
        What `prove_sites` returns, and `receipts`: ids of the datasets and logs that were hashed.

    Raises:
        Segment1BError: as `prove_sites`, or the receipt code of a dataset whose files are not
            those of its run report.
    """
    proof = prove_sites(run)
    return {**proof, "receipts": _check_receipts(run, proof["egress"])}


def prove_sites(run: Snapshot) -> dict[str, Any]:
    """Check that the sites of one identity passed and are unchanged; every byte is hashed once.

    Returns:
        The tokens, `flag_sha256_hex`, `bundle_files` and `egress` (files, bytes,
        composite_sha256_hex).

    Raises:
        Segment1BError: E908_BUNDLE_CONTENTS_MISSING, E909_INDEX_INVALID,
            E910_FLAG_BAD_OR_MISSING, E_PATH_EMBED_MISMATCH or E_EGRESS_CHECKSUM_MISMATCH.
    """
    folder = run.path(BUNDLE)
    run.fetch([BUNDLE, EGRESS])
    names, flag = open_bundle(run.contracts, folder, RULES)
    check_summary(folder)
    _checked_tokens(folder, run.tokens)
    return {
        **run.identity.tokens,
        "flag_sha256_hex": flag,
        "bundle_files": len(names),
        "egress": _check_egress(run, folder),
    }


def find_places(
    root: Path,
    contracts: Contracts,
    given: Mapping[str, Any] | None = None,
    choice: str = "--list",
) -> dict[str, int | str]:
    """Return the path tokens of a list that passed in a root, which may hold nothing else.

    The list is the one that is named, or the default one (docs/spec/outlet-lists.md#names).

    Raises:
        Segment1BError: as `prove_sites`; E_USAGE when the list is not known or not decided.
    """
    wanted = named_tokens(root, contracts, given or {})
    pattern = contracts[BUNDLE].locate({"manifest_fingerprint": "*", **wanted})
    root_at(root).fetch([pattern])
    folders = [path for path in sorted(root.glob(pattern)) if path.is_dir()]
    if "manifest_fingerprint" not in wanted and folders:
        fitting = [path.name.partition("=")[2] for path in folders]
        default = default_list(root, contracts, fitting, choice=choice)
        pattern = contracts[BUNDLE].locate({"manifest_fingerprint": default})
        folders = [path for path in folders if path == root / pattern]
    if not folders:
        what = "is absent: these sites have not passed"
        hint = "run all states, S9 included, or ask whoever made the data for its bundle"
        raise file_error("E908_BUNDLE_CONTENTS_MISSING", root / pattern, what, hint)
    open_bundle(contracts, folders[0], RULES)
    return Identity(**_checked_tokens(folders[0], wanted)).places


class Which(TypedDict, total=False):
    """Keywords that choose one identity of a data root; by default the list imported last.

    Attributes:
        list: which outlets: the name of a list, its fingerprint, or 4 or more digits at its start.
        seed: unsigned 64-bit number.
        manifest_fingerprint: another name of `list`.
        parameter_hash: which policies and reference surfaces, 64 hexadecimal digits.
        dictionary: another dataset dictionary than the packaged one.
    """

    list: str | None
    seed: int | None
    manifest_fingerprint: str | None
    parameter_hash: str | None
    dictionary: Path | None


def locate(
    root: str | Path, cache: Path | None = None, choice: str = "--list", **which: Unpack[Which]
) -> Snapshot:
    """Return the identity of a data root that passed; `choice` as for `default_list`."""
    dictionary = which.pop("dictionary", None)
    folder = find_root(root, cache)
    known = contract_files.load(str(dictionary) if dictionary else None)
    return Snapshot(folder, known, find_places(folder, known, which, choice))


def read_site_locations(
    root: str | Path,
    *,
    cache: str | Path | None = None,
    as_: Literal["arrow", "polars"] = "arrow",
    **which: Unpack[Which],
) -> ds.Dataset | pl.LazyFrame:
    """Open the published sites of a data root, once they are proven.

    Opening hashes every byte of the sites and of their bundle once; later reads are not checked.

    Args:
        root: a folder, or the URL of an object store (`s3://bucket/prefix`).
        cache: directory for the working copy of an object store, instead of SEGMENT1B_CACHE or
            the user's cache directory.
        as_: `arrow` for a pyarrow.dataset.Dataset, `polars` for a polars.LazyFrame.
        **which: the identity, see `Which`.

    Returns:
        The columns merchant_id, legal_country_iso, site_order, lon_deg, lat_deg (degrees, WGS84),
        read lazily.

    Raises:
        Segment1BError: as `prove_sites`, for anything but proven data; E_USAGE.
    """
    if as_ not in ("arrow", "polars"):
        raise Segment1BError("E_USAGE", f"as_ is '{as_}'", "give 'arrow' or 'polars'")
    scan = _polars_scan() if as_ == "polars" else None
    run = locate(root, Path(cache) if cache else None, **which)
    paths = proven_paths(run)
    return scan(paths) if scan is not None else open_parts(paths, run.contracts[EGRESS])


def open_parts(paths: Iterable[Path], dataset: Dataset) -> ds.Dataset:
    """Return part files as one dataset of the dictionary's schema, to be read lazily."""
    # It imports pandas where that is installed, which takes longer than to explain an outlet.
    import pyarrow.dataset as ds

    return ds.dataset([str(path) for path in paths], schema=dataset.arrow_schema, format="parquet")


def proven_paths(run: Snapshot) -> list[Path]:
    """Return the part files of the sites in key order, after `prove_sites`."""
    prove_sites(run)
    return sorted(run.path(EGRESS).iterdir())


def _polars_scan() -> Any:
    try:
        import polars
    except ImportError:
        hint = "install it (pip install polars), or ask for as_='arrow'"
        raise Segment1BError("E_USAGE", "polars is not installed", hint) from None
    return polars.scan_parquet


def bundle_tokens(folder: Path) -> dict[str, Any]:
    """Return the seed, manifest_fingerprint and parameter_hash that a bundle names."""
    tokens: dict[str, Any] = {"seed": read_object(folder / "egress_checksums.json").get("seed")}
    for name in ("manifest_fingerprint", "parameter_hash"):
        tokens[name] = read_object(folder / f"{name}_resolved.json").get(name)
    if isinstance(tokens["seed"], str) and tokens["seed"].isdecimal():
        tokens["seed"] = int(tokens["seed"])
    missing = {name for name, value in tokens.items() if value is None}
    if missing:
        what = f"does not name its {', '.join(sorted(missing))}"
        hint = "the bundle was not written by S9"
        raise file_error("E908_BUNDLE_CONTENTS_MISSING", folder, what, hint)
    return tokens


def _checked_tokens(folder: Path, wanted: Mapping[str, object]) -> dict[str, Any]:
    """Return the tokens that a bundle names; they must be those that are wanted."""
    tokens = bundle_tokens(folder)
    for name, value in tokens.items():
        if wanted.get(name, value) != value:
            what = f"is about {name} {value}, asked for is {wanted[name]}"
            hint = f"give --{name.replace('_', '-')} as the bundle names it"
            raise file_error("E_PATH_EMBED_MISMATCH", folder, what, hint)
    return tokens


def _check_egress(run: Snapshot, bundle: Path) -> dict[str, Any]:
    """Check that the site files are byte for byte those of egress_checksums.json."""
    path = bundle / "egress_checksums.json"
    document = read_json(path)
    problems = run.contracts.schemas.problems(CHECKSUMS_SCHEMA, document)
    if problems or document["dataset_id"] != EGRESS:
        raise _mismatch(path, f"{path}: {problems[0] if problems else document['dataset_id']}")
    folder = run.path(EGRESS)
    relative = folder.relative_to(run.root).as_posix()
    if not folder.is_dir():
        raise _mismatch(folder, f"{folder} is absent")
    declared = {
        entry["path"].removeprefix(f"{relative}/"): (entry["size_bytes"], entry["sha256_hex"])
        for entry in document["files"]
    }
    with coded_os_errors(folder):
        files, whole = hash_files(folder, file_names(folder))
    actual = {name: (size, digest) for name, size, digest in files}
    for name in unequal(actual, declared):
        raise _mismatch(
            folder / name,
            f"{folder / name} is {actual.get(name, 'absent')}, "
            f"{path.name} says {declared.get(name, 'nothing of it')} (bytes, SHA-256)",
        )
    if whole != document["composite_sha256_hex"] or len(declared) < len(document["files"]):
        raise _mismatch(path, f"{folder} hashes to {whole}, {path} says otherwise")
    return {
        "dataset_id": EGRESS,
        "path": relative,
        "files": len(files),
        "bytes": sum(size for _, size, _ in files),
        "composite_sha256_hex": whole,
    }


def _mismatch(path: Path, what: str) -> Segment1BError:
    hint = "do not use this data: restore it and its bundle from their source"
    return Segment1BError("E_EGRESS_CHECKSUM_MISMATCH", what, hint, path=str(path))


def _check_receipts(run: Snapshot, egress: Mapping[str, Any]) -> list[str]:
    """Hash the files of everything in the root that a run report has a receipt of."""
    checked, datasets = [], run.receipted()
    run.fetch(dataset.id for dataset in datasets)
    for dataset in datasets:
        path = run.path(dataset.id)
        if not path.exists():
            if run.path(report_id(dataset)).exists():
                raise _no_receipt(path, dataset, "is absent, and its run report is here")
            if dataset.id.startswith(f"{TRADE_WEIGHTS}/") and run.path("tile_weights").exists():
                raise _no_receipt(path, dataset, "is absent, and S4 has used it")
            continue  # A root that was handed over may hold the sites and their bundle alone.
        with coded_os_errors(path):
            receipt = _receipt_of(run, dataset)
        if receipt is None and dataset.id not in (EGRESS, BUNDLE):
            raise _no_receipt(path, dataset, "has no run report")
        if receipt is None:
            continue  # The flag and the bundle's checksums prove these by themselves.
        if dataset.id == EGRESS and receipt.sha256_hex != egress["composite_sha256_hex"]:
            raise _no_receipt(path, dataset, "has a run report about other files")
        checked.append(dataset.id)
    return checked


def _receipt_of(run: Snapshot, dataset: Dataset) -> Receipt | None:
    """Return the receipt of what is there, its files hashed; None without a run report."""
    if dataset.receipt_in and dataset.kind in ("table", "folder"):
        # The bytes of the sites have been hashed for the bundle's checksums.
        verify = dataset.id != EGRESS
        partition = run.partition(dataset.id, verify=verify)
        return None if partition is None else partition.receipt
    return run.file_receipt(dataset.id, verify=True)


def _no_receipt(path: Path, dataset: Dataset, what: str) -> Segment1BError:
    problem = f"{dataset.id} in {path} {what}"
    hint = f"restore the reports under control/ from their source, or {dataset.redo}"
    return Segment1BError(
        dataset.code("receipt"), problem, hint, dataset=dataset.id, path=str(path)
    )
