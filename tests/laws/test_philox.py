"""Random words: known answers, worked values of the design, and equality with numpy's Philox."""

import numpy as np
import pytest

from segment1b.laws.philox import alloc_offsets, country_word, key_of, philox4x64, u01

S5_KEY = (0x97B373B73186A9E6, 0x764539BF91958F65)
S6_KEY = (0x080FAD64C3D0EE61, 0x491C7DDD62D9BF3B)
GB = 18242


def test_known_answer_of_the_zero_counter() -> None:
    """docs/spec/random-numbers.md#worked-numbers."""
    words = [int(w[0]) for w in philox4x64((0, 0, 0, 0), (0, 0))]
    assert words == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


def test_worked_keys_and_words_of_seed_42() -> None:
    """docs/spec/random-numbers.md#worked-numbers: keys and words of site (101, GB, 1)."""
    assert key_of("site_tile_assign", 42) == S5_KEY
    assert key_of("in_cell_jitter", 42) == S6_KEY
    assert country_word("GB") == GB
    assert int(philox4x64((1, 1, 101, GB), S5_KEY)[0][0]) == 0xD17A07FBBC321B2F
    w0, w1, _, _ = philox4x64((1, 1, 101, GB), S6_KEY)
    assert (int(w0[0]), int(w1[0])) == (0xCABC9CD9B25A852A, 0xC139F82E844630E8)


def test_worked_uniforms_of_seed_42() -> None:
    """docs/spec/s6-points.md#worked-numbers: two attempts of site 1; and S5's five sites."""
    words = philox4x64((1, np.arange(1, 6), 101, GB), S5_KEY)[0]
    assert np.round(u01(words), 4).tolist() == [0.8183, 0.2554, 0.1963, 0.9607, 0.1001]
    w0, w1, _, _ = philox4x64((np.array([1, 2]), 1, 101, GB), S6_KEY)
    assert np.round(u01(w0), 7).tolist() == [0.7919405, 0.9306463]
    assert np.round(u01(w1), 7).tolist() == [0.7547908, 0.6856066]


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


@pytest.mark.parametrize("iso", ["gb", "G", "GBR", "G1", "GB\n", ""])
def test_a_country_is_two_capital_letters(iso: str) -> None:
    """Anything else could collide with another country's counter."""
    with pytest.raises(ValueError, match="two capital letters"):
        country_word(iso)


def test_counters_and_keys_outside_64_bits_are_refused() -> None:
    """Nothing wraps silently into another site's counter."""
    with pytest.raises(OverflowError, match="counter word"):
        philox4x64((1 << 64, 0, 0, 0), S5_KEY)
    with pytest.raises(OverflowError, match="counter word"):
        philox4x64((-1, 0, 0, 0), S5_KEY)
    with pytest.raises(OverflowError, match="key word"):
        philox4x64((0, 0, 0, 0), (1 << 64, 0))
    with pytest.raises(OverflowError, match="too big"):
        key_of("alloc_offset", 1 << 64)
    with pytest.raises(ValueError, match="NUL"):
        key_of("a\0b", 1)
    with pytest.raises(ValueError, match="negative"):
        philox4x64((0, np.array([-1]), 0, 0), S5_KEY)
    with pytest.raises(ValueError, match="float64"):
        philox4x64((0, np.array([1.0]), 0, 0), S5_KEY)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lengths"):
        philox4x64((0, np.array([1, 2]), np.array([1]), 0), S5_KEY)
