"""Make the sample outlet list that ships with the package: made-up merchants all over the world.

    python scripts/make_sample_outlets.py [--out FILE]

Writes a CSV, one row per merchant and country: merchant_id,country_iso,n_outlets,mcc, in ascending
order; mcc is the merchant category code of the merchant. The bytes depend on the seeds and the
embedded tables alone: the only randomness are words of Philox, a stream that numpy keeps stable,
and what is done with them is arithmetic on whole numbers.
"""

from __future__ import annotations

import argparse
import bisect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from segment1b.laws.apportionment import largest_remainder
from segment1b.reference import embedded

SEED: Final = 4
#: Of the category codes: they have words of their own.
MCC_SEED: Final = 5
MERCHANTS: Final = 3_000
#: A merchant's size is about SCALE/u, u uniform: half of them have one outlet, a few thousands.
SCALE: Final = 3
OFFSET: Final = 4
LARGEST: Final = 4_500
#: Countries of a merchant: about 1/v, v uniform, so half of the larger ones stay at home.
MOST_COUNTRIES: Final = 40
#: A chain has no denser net than one outlet for that many people; one outlet fits anywhere.
PEOPLE_PER_OUTLET: Final = 50_000

#: Of 1,000 merchants, how many have a category code: chains in mass-market trades, and all others.
#: No trade lists 5912, 5942, 7230, 7538 and 8099.
CHAIN_MCCS: Final = {
    5814: 210,  # fast food
    5411: 180,  # groceries
    5499: 110,  # convenience stores
    5331: 90,  # discount stores
    5812: 80,  # restaurants and coffee shops
    5541: 80,  # fuel
    5912: 60,  # pharmacies
    5651: 60,  # clothes
    5200: 40,  # building supplies
    6011: 35,  # cash machines
    7011: 25,  # hotels
    5732: 20,  # electronics
    5552: 10,  # charging points
}
OTHER_MCCS: Final = {
    5812: 180,
    5411: 150,
    5814: 120,
    5651: 80,
    5541: 60,
    5912: 50,
    5499: 50,
    5462: 40,  # bakeries
    5813: 40,  # bars
    7011: 50,
    5712: 30,  # furniture
    5732: 30,
    5661: 20,  # shoes
    5944: 20,  # jewellery
    5251: 20,  # hardware
    7538: 20,  # car repair
    7230: 20,  # hairdressers
    5942: 10,  # books
    8099: 10,  # health care
}
#: Outlets from which a merchant is a chain.
CHAIN: Final = 20

_HALF_WORD: Final = 1 << 32
#: Shares of a merchant's countries fall as 1/1, 1/2, ...: all divide this whole number.
_HARMONIC: Final = 5_342_931_457_063_200


def inhabited() -> dict[str, int]:
    """Return the people of every country that has people and a polygon, codes ascending."""
    table = pq.read_table(embedded.surface("country_population.parquet"))
    polygons = pq.read_table(embedded.surface("world_countries.parquet"), columns=["country_iso"])
    drawn = set(polygons["country_iso"].to_pylist())
    people = zip(table["country_iso"].to_pylist(), table["population"].to_pylist(), strict=True)
    return {code: n for code, n in sorted(people) if n > 0 and code in drawn}


class Countries:
    """The countries, drawn with chances in proportion to population^0.7."""

    def __init__(self, people: dict[str, int], words: Iterator[int]) -> None:
        """Lay the countries along a line of their weights.

        Args:
            people: people by country code.
            words: random words, whole numbers in 0..2^64-1.
        """
        self._codes, self._words = list(people), words
        roots = [tenth_root(n**7) for n in people.values()]
        self._ends = np.cumsum(np.array(roots, np.int64))

    def draw(self) -> str:
        """Return the code of one country."""
        point = next(self._words) * int(self._ends[-1]) >> 64
        return self._codes[int(np.searchsorted(self._ends, point, side="right"))]


def tenth_root(n: int) -> int:
    """Return the largest whole r with r^10 <= n; float powers differ from machine to machine."""
    low, high = 0, 1 << n.bit_length() // 10 + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**10 <= n else (low, middle)
    return low


def random_words(seed: int) -> Iterator[int]:
    """Yield Philox's words for a seed, without end, whole numbers in 0..2^64-1."""
    source = np.random.Philox(key=seed)
    while True:
        yield from source.random_raw(1024).tolist()


def draw_size(word: int) -> int:
    """Turn a random word into a merchant's outlets, 1..LARGEST, with a heavy tail."""
    shift = SCALE * _HALF_WORD // (LARGEST + OFFSET)
    return max(1, SCALE * _HALF_WORD // ((word >> 32) + shift + 1) - OFFSET)


def draw_reach(word: int) -> int:
    """Turn a random word into a number of countries, 1..MOST_COUNTRIES."""
    return max(1, _HALF_WORD // ((word >> 32) + _HALF_WORD // MOST_COUNTRIES))


def draw_mcc(word: int, size: int) -> int:
    """Turn a random word into the merchant category code of a merchant with `size` outlets."""
    table = CHAIN_MCCS if size >= CHAIN else OTHER_MCCS
    ends = list(itertools.accumulate(table.values()))
    return list(table)[bisect.bisect_right(ends, word * ends[-1] >> 64)]


def spread(size: int, reach: int, room: dict[str, int], countries: Countries) -> dict[str, int]:
    """Spread a merchant's outlets over countries, the first drawn getting most.

    Args:
        size: outlets, >= 1.
        reach: countries to draw; the same one may come twice.
        room: the most outlets a merchant can have, by country.
        countries: where to draw from.

    Returns:
        Outlets by country, summing to `size`; what finds no room in a country goes to new ones.
    """
    drawn = list(dict.fromkeys(countries.draw() for _ in range(min(size, reach))))
    shares = np.array([_HARMONIC // j for j in range(1, len(drawn) + 1)], np.int64)
    counts = largest_remainder(shares, size, int(shares.sum())).counts.tolist()
    placed = {c: min(n, room[c]) for c, n in zip(drawn, counts, strict=True) if n}
    left = size - sum(placed.values())
    while left:
        code = countries.draw()
        more = min(left, room[code] - placed.get(code, 0))
        if more:
            placed[code] = placed.get(code, 0) + more
            left -= more
    return placed


def sample_outlets(seed: int = SEED) -> list[tuple[int, str, int, int]]:
    """Make the list: (merchant_id, country_iso, n_outlets, mcc), ascending.

    The first merchants are local ones, one in each country, so that none is left out.
    """
    people = inhabited()
    room = {code: 1 + n // PEOPLE_PER_OUTLET for code, n in people.items()}
    words, mcc_words = random_words(seed), random_words(MCC_SEED)
    countries = Countries(people, words)
    rows: list[tuple[int, str, int, int]] = []
    for merchant_id, code in enumerate(people, start=1):
        size = min(draw_size(next(words)), room[code])
        rows.append((merchant_id, code, size, draw_mcc(next(mcc_words), size)))
    for merchant_id in range(len(people) + 1, MERCHANTS + 1):
        size, reach = draw_size(next(words)), draw_reach(next(words))
        placed = spread(size, reach, room, countries)
        mcc = draw_mcc(next(mcc_words), size)
        rows += [(merchant_id, code, n, mcc) for code, n in sorted(placed.items())]
    return rows


def write_csv(path: Path, rows: list[tuple[int, str, int, int]]) -> None:
    """Write the rows with a header and bare newlines."""
    lines = ["merchant_id,country_iso,n_outlets,mcc", *(",".join(map(str, row)) for row in rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode("ascii"))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=embedded.SAMPLE_OUTLETS)
    write_csv(parser.parse_args().out, sample_outlets())


if __name__ == "__main__":
    main()
