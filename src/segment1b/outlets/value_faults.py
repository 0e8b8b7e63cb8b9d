"""Why a value of an outlet list is not valid, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from segment1b.outlets.columns import id_fault, shortened
from segment1b.outlets.lists import MAX_OUTLETS
from segment1b.outlets.merchant_trades import fault_of as trade_fault
from segment1b.outlets.normalising import ambiguity, bare, normalised

ISO: Final = re.compile(r"[A-Z]{2}\Z")
#: What an error advises for values that could be corrected.
NORMALISE: Final = "--normalise"


def value_fault(
    column: str, text: str | None, iso: set[str], shared: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return why a value is not valid; `shared` has the reasons of ids with one number."""
    if text is None or not text.strip():
        return "value is missing"
    if column in ("trade", "mcc"):
        return trade_fault(column, text)
    shown = shortened(text)
    correction = normalised(column, text, iso)
    if column in ("merchant_id", "outlet_id"):
        reason = shared.get(text) or shared.get(bare(text))
        if not reason and (reason := id_fault(text)) and correction:
            reason += f" ({NORMALISE})"
        # What is left is a number of a floating type.
        return reason or f"{shown} is not a whole number: write {column} as text"
    advice = f": {text.strip()[:40]} is {correction.value} ({NORMALISE})" if correction else ""
    if column != "country_iso":
        advice = advice or ambiguity(column, text)
        return f"{shown} is not a whole number in 1..{MAX_OUTLETS}{advice}"
    if ISO.match(text):
        return f"{shown} is not in the ISO table{advice}"
    return f"{shown} is not two upper-case letters{advice}"
