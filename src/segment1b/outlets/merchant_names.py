"""Names merchants in errors and check results by their ids in the list, beside their numbers."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError
from segment1b.outlets.directories import Directories, directory


class Naming:
    """The ids of one list's merchants, read when the first merchant is to be named.

    A list without a directory, or with a damaged one, names no merchant: what is to be reported
    counts more.
    """

    def __init__(self, root: Path, contracts: Contracts, fingerprint: str) -> None:
        self._place = root, contracts, fingerprint

    @functools.cached_property
    def _directories(self) -> Directories | None:
        try:
            return directory(*self._place)
        except (Segment1BError, OSError):
            return None

    def id_of(self, number: Any) -> str | None:
        """Return the id of a merchant in the list where it is another text than the number."""
        if not isinstance(number, int) or not 0 < number < 2**63 or self._directories is None:
            return None
        text = self._directories.texts([number])[0].as_py()
        return None if text is None or text == str(number) else str(text)

    def error(self, error: Segment1BError) -> Segment1BError:
        """Return an error about a merchant's number with its id; any other as it is."""
        number = error.scope.get("merchant_id")
        text = None if "merchant" in error.scope else self.id_of(number)
        if text is None:
            return error
        named = f"merchant {text} ({number})"
        message = re.sub(rf"\bmerchant {number}\b", lambda _: named, error.message)
        if message == error.message:  # it names the merchant as a key or not at all
            message += f"; {named}"
        return Segment1BError(error.code, message, error.hint, **error.scope, merchant=text)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return rows with a column `merchant` before merchant_id where that has an id."""
        texts = [self.id_of(row.get("merchant_id")) for row in rows]
        return [
            dict(row) if text is None else {"merchant": text, **row}
            for row, text in zip(rows, texts, strict=True)
        ]
