"""Where the contract files lie, mappings in YAML files, and hints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segment1b.contracts.locations import DICTIONARY, POLICIES, SCHEMAS, nearest, read_yaml
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError


@pytest.mark.parametrize("folder", [DICTIONARY, SCHEMAS, POLICIES])
def test_the_contract_files_are_found(folder: str) -> None:
    assert (contracts_root() / folder).exists()


def test_a_mapping_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("prep: {exclude_countries: [NO]}\n")
    assert read_yaml(tmp_path / "a.yaml", "E_POLICY_INVALID") == {
        "prep": {"exclude_countries": ["NO"]}
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a: [1", "is not readable YAML"),
        (b"\xff\xfe\xfd", "is not readable YAML"),
        (b"- a\n", "holds no mapping"),
        (b"", "holds no mapping"),
        (b"a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a' is repeated"),
        (b"a: " + b"9" * 6000, "an integer of 6,000 characters"),
        (b"#" * (1 << 20) + b"\na: 1", "larger than 1,048,576 bytes"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused_by_name(
    tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(Segment1BError, match=f"^E_POLICY_INVALID: {path} .*{says}"):
        read_yaml(path, "E_POLICY_INVALID")


def test_what_is_no_file_is_refused_by_name_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, says in (
        (tmp_path / "absent.yaml", "does not exist"),
        (tmp_path, "is a folder, not a regular file"),
        (tmp_path / "pipe.yaml", "is a named pipe, not a regular file"),
    ):
        with pytest.raises(Segment1BError, match=f"^E_POLICY_INVALID: {path} {says}"):
            read_yaml(path, "E_POLICY_INVALID")


def test_a_hint_names_the_nearest_word_or_all_of_them() -> None:
    assert nearest("licens", ["licence", "path"]) == "did you mean 'licence'?"
    assert nearest("zzz", ["licence", "path"]) == "known: licence, path"
    assert nearest(7, ["licence", "path"]) == "known: licence, path"
