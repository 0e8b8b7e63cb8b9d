"""S5's law: worked values, the plain definition, and what a site's word depends on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from segment1b.laws.assignment import LABEL, Sites, permuted, sites_of, words
from segment1b.laws.philox import country_word, key_of

derandomized = settings(deadline=None, derandomize=True)

#: Rows of a plan by merchant: tiles and how many sites they get.
Plan = dict[int, dict[int, int]]
plans = st.dictionaries(
    st.integers(1, 2**63 - 1),
    st.dictionaries(st.integers(0, 2**40), st.integers(1, 5), min_size=1, max_size=5),
    min_size=1,
    max_size=5,
)


def sites(plan: Plan) -> Sites:
    rows = [(m, t, plan[m][t]) for m in sorted(plan) for t in sorted(plan[m])]
    merchant, tile, n = zip(*rows, strict=True)
    return sites_of(np.array(merchant, np.uint64), np.array(tile, np.uint64), np.array(n))


def stock_word(seed: int, country: str, merchant: int, order: int) -> int:
    """Return a site's word by numpy's own generator, which adds 1 to word 0 of the counter."""
    key = np.array(key_of(LABEL, seed), np.uint64)
    counter = np.array([0, order, merchant, country_word(country)], np.uint64)
    return int(np.random.Philox(key=key, counter=counter).random_raw())


def dealt(plan: dict[int, int], word: npt.NDArray[np.uint64]) -> list[int]:
    """Return the tile of each site of one pair, by the definition."""
    multiset = [tile for tile in sorted(plan) for _ in range(plan[tile])]
    ranked = sorted(range(len(multiset)), key=lambda j: (int(word[j]), j))
    tile = dict(zip(ranked, multiset, strict=True))
    return [tile[j] for j in range(len(multiset))]


def test_equal_words_are_decided_by_site_order_and_counted() -> None:
    own = sites({1: {10: 1, 20: 2}, 2: {10: 1, 20: 1}})
    tile, ties = permuted(own, np.array([7, 7, 3, 7, 7], np.uint64))
    assert tile.tolist() == [20, 20, 10, 10, 20]
    assert ties == 2  # one in each pair; equal words of different pairs are none


def test_words_are_compared_as_unsigned_numbers() -> None:
    own = sites({1: {10: 1, 20: 1}})
    assert permuted(own, np.array([2**64 - 1, 2**63 - 1], np.uint64))[0].tolist() == [20, 10]


@derandomized
@given(plans)
def test_plans_are_expanded_by_the_definition(plan: Plan) -> None:
    own = sites(plan)
    expected = [
        (pair, merchant, order, tile)
        for pair, merchant in enumerate(sorted(plan))
        for order, tile in enumerate(
            (t for t in sorted(plan[merchant]) for _ in range(plan[merchant][t])), 1
        )
    ]
    found = zip(*(v.tolist() for v in (own.pair, own.merchant, own.order, own.tile)), strict=True)
    assert list(found) == expected
    assert own.quota.tolist() == [sum(plan[m].values()) for m in sorted(plan)]


@derandomized
@given(plans, st.data())
def test_tiles_are_dealt_by_the_definition(plan: Plan, data: st.DataObject) -> None:
    """With few different words, so that ties are common."""
    own = sites(plan)
    few = st.lists(st.integers(0, 3), min_size=len(own.pair), max_size=len(own.pair))
    word = np.array(data.draw(few), np.uint64)
    tile, ties = permuted(own, word)
    for pair, merchant in enumerate(sorted(plan)):
        mine = own.pair == pair
        assert tile[mine].tolist() == dealt(plan[merchant], word[mine])
    different = len(set(zip(own.pair.tolist(), word.tolist(), strict=True)))
    assert ties == len(word) - different


@derandomized
@given(plans, st.integers(0, 2**64 - 1), st.sampled_from(["AA", "GB", "ZZ"]))
def test_a_word_depends_on_seed_and_site_key_alone(plan: Plan, seed: int, country: str) -> None:
    """Neither on quotas nor on who else is there: each equals numpy's for its counter."""
    own = sites(plan)
    keys = zip(own.merchant.tolist(), own.order.tolist(), strict=True)
    assert words(seed, country, own).tolist() == [stock_word(seed, country, m, j) for m, j in keys]
