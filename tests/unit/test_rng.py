"""Keyed draws: what they are, and that nothing else can shift them."""

import math
import os
import subprocess
import sys
from itertools import pairwise
from random import Random
from statistics import NormalDist, fmean, pvariance

import numpy as np
import pytest

from liqsim.rng import P99_NORMAL, TABLE_BITS, Stream, key_of, lognormal_us, normal_table

COUNT = 20_000
"""Draws of a moment: its standard error is then below one percent."""

GOLDEN_KEY = "9631beecddcf81cacdd1880dad7222ec"
GOLDEN_AT = [
    (0.045343637496911726, 0, 0),
    (0.4485441639759652, 0, 1),
    (0.1985309301617767, 1, 0),
    (0.42514543575661434, 4611686018427387904, -3),
]
"""(draw, entity, index)."""
GOLDEN_BLOCK = [
    15665984983429810290,
    13744187190541612847,
    3839111519299816128,
    5789931009913789803,
    15700291551408563150,
]
"""First draws of seed 7, actor `oracle`, purpose `noise`. A change of them changes every run."""


def stream(*, seed: int = 7, actor: str = "oracle", purpose: str = "noise") -> Stream:
    return Stream(seed, actor, purpose)


# Known values -------------------------------------------------------------------------------------


def test_the_generator_is_the_one_it_was():
    assert key_of(7, "oracle", "noise").hex() == GOLDEN_KEY
    draws = [(stream().at(entity, index), entity, index) for _, entity, index in GOLDEN_AT]
    assert draws == GOLDEN_AT
    assert stream().block(0, 5).tolist() == GOLDEN_BLOCK


def test_a_block_is_philox():
    """Philox-4x64-10 as published (Salmon and others, SC 2011), written down once more."""
    mask = 2**64 - 1
    key = [int.from_bytes(key_of(7, "oracle", "noise")[i : i + 8], "little") for i in (0, 8)]

    def four(counter: int) -> list[int]:
        words, keys = [counter, 0, 0, 0], list(key)
        for _ in range(10):
            low, high = (0xD2E7470EE14C6C93 * words[0]), (0xCA5A826395121157 * words[2])
            words = [
                (high >> 64) ^ words[1] ^ keys[0],
                high & mask,
                (low >> 64) ^ words[3] ^ keys[1],
                low & mask,
            ]
            keys = [(keys[0] + 0x9E3779B97F4A7C15) & mask, (keys[1] + 0xBB67AE8584CAA73B) & mask]
        return words

    # numpy counts up before it draws.
    expected = [word for counter in range(1, 6) for word in four(counter)]
    assert stream().block(0, 20).tolist() == expected


# Nothing shifts a draw ----------------------------------------------------------------------------


def test_draws_do_not_depend_on_their_order():
    pairs = [(entity, index) for entity in (0, 1, 5, -1, 2**62) for index in range(40)]
    one, other = stream(), stream()
    forwards = {pair: one.at(*pair) for pair in pairs}
    shuffled = Random(1).sample(pairs, len(pairs))

    backwards = {}
    for pair in shuffled:
        Stream(8, "keeper", "latency").at(*pair)  # Somebody else draws in between.
        other.block(0, 3)
        backwards[pair] = other.at(*pair)

    assert backwards == forwards


def test_any_part_of_a_block_is_the_block():
    whole = stream().block(0, 200).tolist()
    random = Random(2)
    spans = [(start, count) for start in range(9) for count in range(10)]
    spans += [(random.randrange(190), random.randrange(10)) for _ in range(50)]
    for start, count in spans:
        assert stream().block(start, count).tolist() == whole[start : start + count]


@pytest.mark.parametrize("start", [2**20 + 3, 2**40 - 1, 2**61 + 2])
def test_far_parts_of_a_block_agree_too(start):
    whole = stream().block(start, 12).tolist()

    assert [stream().block(start + offset, 1).tolist()[0] for offset in range(12)] == whole


def test_bulk_forms_read_one_block():
    raw = stream().block(3, 50).tolist()

    assert stream().uniforms(3, 50) == [((word >> 12) + 0.5) / 2**52 for word in raw]
    assert stream().quantiles(3, 50).tolist() == [word >> (64 - TABLE_BITS) for word in raw]
    assert stream().normals(3, 50) == [NormalDist().inv_cdf(u) for u in stream().uniforms(3, 50)]
    assert stream().normal_at(2, 9) == NormalDist().inv_cdf(stream().at(2, 9))


def test_no_draws_are_no_draws():
    assert stream().block(5, 0).tolist() == stream().uniforms(0, 0) == stream().normals(6, 0) == []


OTHERS = [
    {"seed": 8},
    {"seed": 77},
    {"actor": "oracle2"},
    {"actor": "Oracle"},
    {"purpose": "latency"},
    {"actor": "noise", "purpose": "oracle"},
    {"actor": "oraclen", "purpose": "oise"},
    {"actor": "", "purpose": "oraclenoise"},
]


@pytest.mark.parametrize("names", OTHERS, ids=str)
def test_other_names_are_other_draws(names):
    mine, theirs = stream(), stream(**names)

    assert not set(mine.block(0, 1_000).tolist()) & set(theirs.block(0, 1_000).tolist())
    # Nor do they run in step: the correlation of 2,000 pairs stays below three standard errors.
    u, v = (np.array([s.at(0, i) for i in range(2_000)]) for s in (mine, theirs))
    assert abs(np.corrcoef(u, v)[0, 1]) < 3 / math.sqrt(2_000)


def test_entity_and_index_are_not_exchangeable():
    draws = {stream().at(entity, index) for entity in range(30) for index in range(30)}

    assert len(draws) == 900


PROGRAM = """
from liqsim.rng import Stream, key_of
s = Stream(7, "oracle", "noise")
print(key_of(7, "a", "b").hex(), s.at(1, 2).hex(), s.normal_at(3, 4).hex(), s.block(5, 6).tolist())
"""


def test_draws_do_not_depend_on_the_hash_seed():
    said = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }

    here = stream()
    draws = f"{here.at(1, 2).hex()} {here.normal_at(3, 4).hex()} {here.block(5, 6).tolist()}"
    assert said == {f"{key_of(7, 'a', 'b').hex()} {draws}\n"}


# Distributions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_bulk", [False, True], ids=["single", "bulk"])
def test_uniforms_are_uniform(is_bulk):
    draws = (
        stream().uniforms(0, COUNT) if is_bulk else [stream().at(i % 7, i) for i in range(COUNT)]
    )

    assert 0.0 < min(draws) < 1e-3
    assert 1.0 - 1e-3 < max(draws) < 1.0
    assert fmean(draws) == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / COUNT))
    assert pvariance(draws) == pytest.approx(1 / 12, abs=4 * math.sqrt(1 / 180 / COUNT))
    # Kolmogorov and Smirnov's distance, at a level of one in ten thousand.
    steps = [max(u - i / COUNT, (i + 1) / COUNT - u) for i, u in enumerate(sorted(draws))]
    assert max(steps) < 2.23 / math.sqrt(COUNT)
    # Neighbours know nothing of each other.
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 4 / math.sqrt(COUNT)


@pytest.mark.parametrize("word", [0, 2**64 - 1])
def test_the_outermost_words_stay_inside_the_open_interval(word, monkeypatch):
    monkeypatch.setattr(Stream, "block", lambda *_: np.array([word], dtype=np.uint64))

    (uniform,) = stream().uniforms(0, 1)
    (normal,) = stream().normals(0, 1)

    assert 0.0 < uniform < 1.0
    assert math.isfinite(normal)


def test_normals_are_normal():
    draws = stream().normals(0, COUNT)
    error = 1 / math.sqrt(COUNT)

    assert fmean(draws) == pytest.approx(0.0, abs=4 * error)
    assert pvariance(draws) == pytest.approx(1.0, abs=4 * math.sqrt(2) * error)
    assert fmean(x**3 for x in draws) == pytest.approx(0.0, abs=4 * math.sqrt(15) * error)
    assert fmean(x**4 for x in draws) == pytest.approx(3.0, abs=4 * math.sqrt(96) * error)


def test_quantiles_are_equally_likely():
    rows = stream().quantiles(0, COUNT)

    assert rows.min() >= 0
    assert rows.max() < 2**TABLE_BITS
    share = np.bincount(rows >> (TABLE_BITS - 4), minlength=16) / COUNT
    assert abs(share - 1 / 16).max() < 4 * math.sqrt(15 / 256 / COUNT)


def test_the_normal_table_is_symmetric():
    table = normal_table()

    assert len(table) == 2**TABLE_BITS
    assert all(low < high for low, high in pairwise(table))
    assert all(low == -high for low, high in zip(table, reversed(table), strict=True))
    assert pvariance(table, 0.0) == pytest.approx(1.0, abs=1e-3)
    assert table[2**TABLE_BITS * 99 // 100] == pytest.approx(P99_NORMAL, abs=1e-3)
    assert normal_table() is table


@pytest.mark.parametrize(
    ("median", "p99"), [(2_000_000, 15_000_000), (1, 2), (3, 10**12), (500_000, 500_000)]
)
def test_a_lognormal_has_the_median_and_the_99th_percentile_asked_for(median, p99):
    assert lognormal_us(median, p99, 0.0) == median
    assert lognormal_us(median, p99, P99_NORMAL) == p99
    assert pytest.approx(2.3263478740408408, rel=1e-15) == P99_NORMAL


def test_a_lognormal_falls_and_rises_by_the_same_factor():
    for normal in (0.1, 1.0, 3.0):
        above, below = (lognormal_us(10**9, 5 * 10**9, sign * normal) for sign in (1, -1))
        assert above * below == pytest.approx(10**18, rel=1e-6)
        assert math.log(above / 10**9) == pytest.approx(normal * math.log(5) / P99_NORMAL, rel=1e-6)


def test_drawn_lognormals_have_their_percentiles():
    draws = sorted(lognormal_us(2_000_000, 15_000_000, x) for x in stream().normals(0, COUNT))

    assert draws[0] > 0
    assert all(isinstance(draw, int) for draw in draws[:10])
    assert draws[COUNT // 2] == pytest.approx(2_000_000, rel=0.03)
    assert draws[COUNT * 99 // 100] == pytest.approx(15_000_000, rel=0.08)


def test_a_constant_delay_is_constant():
    assert {lognormal_us(250_000, 250_000, x) for x in (-8.0, 0.0, 8.0)} == {250_000}
    assert lognormal_us(0, 0, 3.0) == 0
