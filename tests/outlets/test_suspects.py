"""Keys that may have been renamed from one list to the next are warnings."""

from __future__ import annotations

import pyarrow as pa
import pytest

from segment1b.outlets.directories import Directories
from segment1b.outlets.earlier import suspects

Keys = list[tuple[str, str, str]]
JANUARY: Keys = [("Alto", "DE", "Bonn"), ("Alto", "DE", "Kiel"), ("Basso", "NL", "1")]
CASE = "outlets closed and opened whose ids differ only in case or spaces: 1"
COUNTRY = "outlets closed and opened with the same id in another country of the merchant: 1"
NONE = "merchants of both lists of which no outlet is kept; was their outlet_id changed?: 1"


def directories(keys: Keys) -> Directories:
    """Return the directories of outlets by merchant, country and key."""
    names = sorted({merchant for merchant, _, _ in keys})
    columns = {
        "merchant_id": pa.array(
            [names.index(merchant) + 1 for merchant, _, _ in keys], pa.uint64()
        ),
        "country_iso": pa.array([country for _, country, _ in keys]),
        "outlet_id": pa.array([key for _, _, key in keys]),
    }
    numbers = pa.array(range(1, len(names) + 1), pa.uint64())
    merchants = pa.table({"merchant_id": numbers, "merchant": pa.array(names)})
    return Directories(merchants, pa.table(columns))


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({0: None}, []),
        ({0: None, 2: None}, []),
        ({0: ("Alto", "DE", "Berlin")}, []),
        ({0: ("Alto", "DE", "BONN")}, [CASE, "  Alto in DE: Bonn closed, Alto: BONN opened"]),
        ({0: ("Alto", "DE", " Bonn ")}, [CASE, "  Alto in DE: Bonn closed, Alto:  Bonn  opened"]),
        ({2: ("basso", "NL", "1")}, [CASE, "  Basso in NL: 1 closed, basso: 1 opened"]),
        ({0: ("Alto", "NL", "Bonn")}, [COUNTRY, "  Alto: Bonn from DE to NL"]),
        ({0: ("Basso", "DE", "Bonn")}, []),
        ({2: ("Basso", "NL", "one")}, [NONE, "  Basso"]),
        ({2: None, 0: ("Corto", "NL", "1")}, []),
    ],
)
def test_a_key_that_may_continue_under_another_name_is_told(
    changes: dict[int, tuple[str, str, str] | None], lines: list[str]
) -> None:
    february = [changes.get(number, key) for number, key in enumerate(JANUARY)]
    now = directories([key for key in february if key is not None])
    assert list(suspects(now, directories(JANUARY))) == lines


def test_the_first_20_are_listed() -> None:
    was, now = ([("Alto", "DE", f"{letter}{n:03}") for n in range(30)] for letter in "aA")
    lines = list(suspects(directories(now), directories(was)))
    assert lines[0].endswith(": 30")
    assert lines[20:] == [
        "  Alto in DE: a019 closed, Alto: A019 opened",
        "  and others",
        NONE,
        "  Alto",
    ]
