"""Identity: its tokens, the run id and canonical JSON."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.errors import Segment1BError
from segment1b.identity import Identity, canonical_json, sha256_hex

F, P = "11" * 32, "22" * 32
HEX64 = st.binary(min_size=32, max_size=32).map(bytes.hex)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


def test_the_run_id_has_its_worked_value() -> None:
    assert Identity(42, F, P).run_id == "6e368609883f7a7138128486bcde51de"


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(0, 2**64 - 1), HEX64, HEX64)
def test_the_run_id_is_taken_over_the_three_tokens(seed: int, f: str, p: str) -> None:
    over = b"segment1b.run.1\0" + struct.pack("<Q", seed) + bytes.fromhex(f) + bytes.fromhex(p)
    assert Identity(seed, f, p).run_id == hashlib.sha256(over).hexdigest()[:32]


def test_tokens_stand_under_the_names_that_paths_use() -> None:
    tokens = Identity(42, F, P).tokens
    assert tokens == {"seed": 42, "manifest_fingerprint": F, "parameter_hash": P}


@pytest.mark.parametrize("seed", [0, 2**63, 2**64 - 1])
def test_a_seed_is_any_unsigned_64_bit_number(seed: int) -> None:
    assert Identity(seed, F, P).seed == seed


@pytest.mark.parametrize("seed", [-1, 2**64, float("nan"), 1.0, "1", True, None])
@pytest.mark.code("E511_INVALID_SEED")
def test_another_seed_is_refused(seed: Any) -> None:
    """JSON and YAML can hold any of them, in a bundle or a receipt."""
    with pytest.raises(Segment1BError, match=str(seed)) as caught:
        Identity(seed, F, P)
    assert caught.value.code == "E511_INVALID_SEED"


@pytest.mark.parametrize("bad", ["", "11", "AA" * 32, "1" * 63, "1" * 65, "g" * 64, F + "\n"])
def test_a_token_that_is_not_64_lower_case_hex_digits_is_refused(bad: str) -> None:
    for name, pair in (("manifest_fingerprint", (bad, P)), ("parameter_hash", (F, bad))):
        with pytest.raises(Segment1BError, match=f"^E_USAGE: {name}"):
            Identity(42, *pair)


def test_canonical_json_has_sorted_keys_no_spaces_utf8_and_a_final_newline() -> None:
    value = {"b": [1, 0.1, True, None], "a": "Åland", "B": {}}
    assert canonical_json(value) == '{"B":{},"a":"Åland","b":[1,0.1,true,null]}\n'.encode()


@settings(deadline=None, derandomize=True, max_examples=100)
@given(JSON)
def test_canonical_json_can_be_read_back(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_canonical_json_has_no_word_for_numbers_that_are_none(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": value})


def test_sha256_is_given_in_lower_case_hex() -> None:
    assert sha256_hex(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
