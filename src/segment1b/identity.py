"""The identity of a run, its path tokens, and canonical JSON."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from segment1b.errors import Segment1BError

#: The tokens of an identity, by the names that settings, receipts and paths use.
TOKENS = ("seed", "manifest_fingerprint", "parameter_hash")
StateName = Literal["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"]
STATE_NAMES: tuple[StateName, ...] = get_args(StateName)
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")


def canonical_json(value: Any) -> bytes:
    """Return JSON as UTF-8 with sorted keys, no spaces, shortest floats and a final newline."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of bytes as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def check_seed(seed: object) -> int:
    """Return a seed that is an unsigned 64-bit number; raise E511_INVALID_SEED for another."""
    if type(seed) is not int or not 0 <= seed < 2**64:
        raise Segment1BError("E511_INVALID_SEED", f"seed {seed} is not an unsigned 64-bit number")
    return seed


@dataclass(frozen=True)
class Identity:
    """Seed (unsigned 64-bit), manifest_fingerprint and parameter_hash (64 lower-case hex digits).

    Raises:
        Segment1BError: E511_INVALID_SEED, which concerns files: settings are checked before;
            E_USAGE for a malformed hash.
    """

    seed: int
    manifest_fingerprint: str
    parameter_hash: str

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in TOKENS[1:]:
            if not _HEX64.match(str(getattr(self, name))):
                what = f"{name} '{getattr(self, name)}' is malformed"
                raise Segment1BError("E_USAGE", what, "give 64 lower-case hex digits")

    @property
    def tokens(self) -> dict[str, int | str]:
        """Return the tokens by the names that dictionary paths use."""
        return asdict(self)

    @property
    def places(self) -> dict[str, int | str]:
        """Return the values for paths: the tokens and the run id."""
        return {**self.tokens, "run_id": self.run_id}

    @property
    def run_id(self) -> str:
        """Return the run id: 32 hex digits over the tokens (docs/spec/identity.md#run-id)."""
        text = b"segment1b.run.1\0" + struct.pack("<Q", self.seed)
        text += bytes.fromhex(self.manifest_fingerprint) + bytes.fromhex(self.parameter_hash)
        return sha256_hex(text)[:32]
