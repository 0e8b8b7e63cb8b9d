"""Random words: equality with numpy's Philox, uniforms, offsets, and what is refused."""

import numpy as np

from segment1b.laws.philox import alloc_offsets, key_of, philox4x64, u01

S5_KEY = (0x97B373B73186A9E6, 0x764539BF91958F65)
GB = 18242


def test_uniforms_are_symmetric_and_never_0_or_1() -> None:
    """Every value is exact, so no patch is needed at either end."""
    ends = u01(np.array([0, (1 << 64) - 1, 1 << 63, (1 << 63) - 1], np.uint64))
    assert ends.tolist() == [2.0**-53, 1 - 2.0**-53, 0.5 + 2.0**-53, 0.5 - 2.0**-53]


def test_words_equal_numpys_for_20000_scattered_counters() -> None:
    """Each counter through a generator of its own, as an auditor replays a draw."""
    rng = np.random.default_rng(8)
    size = 20_000
    counter = rng.integers(0, (1 << 64) - 1, (size, 4), dtype=np.uint64, endpoint=True)
    counter[:, 0] |= np.uint64(1)  # numpy adds 1 to word 0; an odd word is never 0 before it
    key = key_of("in_cell_jitter", 7)
    words = np.stack(philox4x64(tuple(counter.T), key), axis=1)
    before = counter.copy()
    before[:, 0] -= np.uint64(1)
    for start, got in zip(before, words, strict=True):
        stock = np.random.Philox(key=np.array(key, np.uint64), counter=start)
        assert (stock.random_raw(4) == got).all()


def test_words_equal_numpys_for_a_million_attempts() -> None:
    """A thousand sites with a thousand successive attempts: numpy counts word 0 up by itself."""
    rng = np.random.default_rng(9)
    key = np.array(key_of("site_tile_assign", (1 << 64) - 1), np.uint64)
    attempts = np.arange(1, 1001, dtype=np.uint64)
    sites = rng.integers(0, 1 << 63, (1000, 3), dtype=np.uint64)
    each = np.repeat(sites, 1000, axis=0).T
    words = philox4x64((np.tile(attempts, 1000), *each), (int(key[0]), int(key[1])))
    got = np.stack(words, axis=1).reshape(1000, 4000)
    for site, row in zip(sites, got, strict=True):
        stock = np.random.Philox(key=key, counter=np.array([0, *site], np.uint64))
        assert (stock.random_raw(4000) == row).all()


def test_numbers_and_arrays_of_one_value_give_the_same_words() -> None:
    """A number stands for all; blocks of 8,192 leave no seam."""
    size = 3 * 8192 + 5
    merchants = np.arange(1, size + 1, dtype=np.uint64)
    same = [np.full(size, word, np.uint64) for word in (1, 3, GB)]
    short = philox4x64((1, 3, merchants, GB), S5_KEY)
    long = philox4x64((same[0], same[1], merchants, same[2]), S5_KEY)
    assert all((a == b).all() for a, b in zip(short, long, strict=True))
    alone = philox4x64((1, 3, int(merchants[9000]), GB), S5_KEY)
    assert [int(w[0]) for w in alone] == [int(w[9000]) for w in short]


def test_an_offset_is_word_0_of_its_own_stream() -> None:
    """docs/spec/s4-allocation.md#offset-of-a-pair: counter (1, 0, merchant_id, country)."""
    merchants = np.array([1, 101, (1 << 63) - 1], np.uint64)
    key = np.array(key_of("alloc_offset", 42), np.uint64)
    stock = [
        np.random.Philox(key=key, counter=np.array([0, 0, m, GB], np.uint64)).random_raw()
        for m in merchants
    ]
    assert alloc_offsets(42, merchants, "GB").tolist() == stock
