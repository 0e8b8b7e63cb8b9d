"""The gate refuses an index that does not describe its bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import foreign
from gates import Spoil, a_run, edit, flagged, lay, pipe_for, refused, remove, write

Case = tuple[Spoil, str]
ODD = {"artifact_id": "odd", "kind": "text", "path": "x"}


def index(change: Callable[[list[dict[str, Any]]], object]) -> Spoil:
    return lambda bundle: edit(bundle / "index.json", change)


def sealed_without(name: str) -> Spoil:
    def spoil(bundle: Path) -> None:
        (bundle / name).unlink()
        foreign.seal(bundle)

    return spoil


def link_for(name: str) -> Spoil:
    """Put a link to a file or folder outside in place of one of the bundle."""

    def spoil(bundle: Path) -> None:
        (bundle / name).rename(bundle.parent / "outside")
        (bundle / name).symlink_to(bundle.parent / "outside")

    return spoil


def odd_path(path: str) -> Case:
    def spoil(bundle: Path) -> None:
        (bundle.parent / "outside.txt").write_text("x")
        edit(bundle / "index.json", lambda entries: [*entries, {**ODD, "path": path}])

    return spoil, f"path '{path}' is not a plain relative path" if path else ""


def entry(change: Callable[[dict[str, Any]], object]) -> Case:
    return index(lambda entries: change(entries[0]) and None), ""


def twice(field: str) -> Case:
    other = {"artifact_id": "x", "path": "x"}
    return (
        index(lambda es: [*es, {**es[0], **other, field: es[0][field]}]),
        f"{field} 'MANIFEST.json' stands twice",
    )


def many_twice(field: str) -> Case:
    entries = [
        {"kind": "text", "artifact_id": f"a{n}", "path": f"p{n}", field: f"x{n // 2}"}
        for n in range(200_000)
    ]
    return index(lambda _: entries), f"{field} 'x0' stands twice"


def many_absent(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    more = ({"kind": "text", "artifact_id": f"a{n}", "path": f"p{n}"} for n in range(200_000))
    return [*entries, *more]


def repeat_key(bundle: Path) -> None:
    text = (bundle / "index.json").read_text()
    (bundle / "index.json").write_text(text.replace('"path":', '"path":"../x","path":'))


def absolute_path(entries: list[dict[str, str]], bundle: Path) -> None:
    own = next(one for one in entries if one["path"] == "MANIFEST.json")
    own["path"] = str(bundle / "MANIFEST.json")


#: What is wrong with the index or the files of the bundle, and what the message says.
INDEX: list[Case] = [
    *(
        (write("index.json", text), "")
        for text in (
            *(b"", b"{", b"{}", b"[1]", b"\xff", b"null"),
            *(b"[" * 50_000, b"[" * 900 + b"]" * 900),
        )
    ),
    (repeat_key, "key 'path' is repeated"),
    entry(lambda one: one.pop("path")),
    entry(lambda one: one.pop("kind")),
    entry(lambda one: one.pop("artifact_id")),
    entry(lambda one: one.update(path="")),
    entry(lambda one: one.update(path=7)),
    entry(lambda one: one.update(kind="picture")),
    entry(lambda one: one.update(artifact_id="a b")),
    entry(lambda one: one.update(artifact_id="a/b")),
    entry(lambda one: one.update(artifact_id="")),
    entry(lambda one: one.update(size=3)),
    *map(
        odd_path,
        (
            *("../outside.txt", "plots/../MANIFEST.json", "plots/..", "./MANIFEST.json"),
            *("plots//outlets.svg", "plots/", "/etc/hostname", "\\\\host\\share"),
            *("plots\\outlets.svg", "C:/outside.txt", "file:outside.txt", "pl\u00f6ts/outlets.svg"),
            *("plots/outlets.svg\0", "plots/outlets\n.svg", "plots/\x1b[31m.svg", ""),
        ),
    ),
    *(
        (index(lambda entries, path=path: [*entries, {**ODD, "path": path}]), "")
        for path in ("x" * 100_000, "x/" * 50_000 + "x", "../" + "x" * 100_000)
    ),
    (
        lambda bundle: flagged("index.json", lambda es: absolute_path(es, bundle))(bundle),
        "not a plain relative path",
    ),
    # Names that differ by case are two files.
    (
        index(lambda entries: [*entries, {**ODD, "path": "manifest.json"}]),
        "indexed but absent: manifest.json",
    ),
    twice("artifact_id"),
    twice("path"),
    many_twice("artifact_id"),
    many_twice("path"),
    (index(many_absent), "indexed but absent: p0, p1, p10"),
    (index(lambda entries: [*entries, foreign.index_entry("_passed.flag")]), "_passed.flag"),
    (
        flagged("index.json", lambda entries: [e for e in entries if e["path"] != "index.json"]),
        "not in the index: index.json",
    ),
    *(
        (write(name, b"x"), f"not in the index: {name}")
        for name in ("extra.txt", "plots/extra.txt", "plots/_passed.flag", ".hidden")
    ),
    *(
        (remove(name), f"indexed but absent: {name}")
        for name in ("plots/outlets.svg", "rng_accounting.json")
    ),
    *(
        (sealed_without(name), f"missing from the bundle's minimum: {name}")
        for name in (
            *("MANIFEST.json", "parameter_hash_resolved.json", "rng_accounting.json"),
            *("manifest_fingerprint_resolved.json", "s9_summary.json", "egress_checksums.json"),
        )
    ),
    (pipe_for("s9_summary.json"), "s9_summary.json is not a regular file"),
    *(
        (link_for(name), "symbolic link")
        for name in ("s9_summary.json", "index.json", "_passed.flag", "plots")
    ),
    (lambda bundle: (bundle / "plots/lost").symlink_to(bundle / "absent"), "symbolic link"),
]


@pytest.mark.timeout(120)  # To compare each of 200,000 names with each would take hours.
@pytest.mark.code("E_INDEX_INVALID")
@pytest.mark.parametrize(("spoil", "message"), INDEX)
def test_step_2_the_index_describes_the_bundle(tmp_path: Path, spoil: Spoil, message: str) -> None:
    spoil(lay(tmp_path))
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert message in error.message
    assert len(error.message) < 5000
