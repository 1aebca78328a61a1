"""Cohorts: totals, caps, shares, ranks, leverages, entries; each cohort on its own."""

import math
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist, fmean, stdev

import attrs
import numpy as np
import pytest
from support.scenarios import changed, cohort, load, market, small_scenario

from liqsim.errors import ScenarioError
from liqsim.mechanics.margin import margin_rules
from liqsim.mechanics.population import Accounts, draw_accounts
from liqsim.units import NOTIONAL_DIVISOR, UNIT_SCALE, USD_SCALE

START_E8 = 100 * UNIT_SCALE
RATE = Fraction(1, 100)
"""Maintenance of the market that scenarios of the support package have."""
MANY = 5_000


def crowd(**changes):
    """Return a cohort of many accounts, both sides, without anything that needs a redraw."""
    return (
        cohort(
            accounts=MANY,
            notional_usd=50_000_000,
            long_share=Decimal("0.5"),
            size={"alpha": 1.5},
            leverage={"median": 5, "sigma": 0.5, "min": 0.05, "max": 99},
        )
        | changes
    )


def draw(cohorts, *, seed=1, attempts=100, due_at_zero=False, markets=None) -> Accounts:
    raw = small_scenario(population__cohorts=cohorts, population__entry_attempts=attempts)
    scenario = load(changed(raw, {"markets": markets} if markets else {}))
    starts = [START_E8] * len(scenario.markets)
    return draw_accounts(
        scenario.population,
        scenario.markets,
        starts,
        rules=margin_rules(scenario),
        seed=seed,
        due_at_zero=due_at_zero,
    )


def notionals(accounts: Accounts) -> list[float]:
    """Return each position at entry, in micro-USD: below 2 ** 53, and read to a millionth."""
    rows = zip(accounts.quantities_e8.tolist(), accounts.entries_e8.tolist(), strict=True)
    return [abs(quantity) * entry / NOTIONAL_DIVISOR for quantity, entry in rows]


def leverages(accounts: Accounts) -> list[float]:
    collaterals = accounts.collaterals_uusd.tolist()
    return [n / c for n, c in zip(notionals(accounts), collaterals, strict=True)]


def margin_at_start(accounts: Accounts, row: int) -> Fraction:
    """Return the margin of account *row* at the start price, in USD."""
    quantity, entry, collateral = (int(getattr(accounts, column)[row]) for column in COLUMNS)
    paid = math.ceil(Fraction(quantity * entry, NOTIONAL_DIVISOR))  # In whole micro-USD.
    value = Fraction(quantity * START_E8, NOTIONAL_DIVISOR)
    return (collateral - paid + value - RATE * abs(value)) / USD_SCALE


def rows_of(accounts: Accounts, name: str):
    """Return everything about the accounts of one cohort, for comparison."""
    rows = [row for row, cohort_name in enumerate(accounts.cohorts) if cohort_name == name]
    return [
        (
            accounts.names[row],
            *(int(getattr(accounts, column)[row]) for column in COLUMNS),
        )
        for row in rows
    ]


COLUMNS = ("quantities_e8", "entries_e8", "collaterals_uusd")


def ranks(values) -> np.ndarray:
    """Return the rank of each value; ties share their mean rank."""
    values = np.array(values)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[inverse]


# Sizes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.3, 1.1, 100])
@pytest.mark.parametrize("max_usd", [11_000, 999_999_999])
def test_positions_add_up_to_the_notional_and_none_exceeds_the_cap(alpha, max_usd):
    accounts = draw({"longs": crowd(size={"alpha": alpha, "max_usd": max_usd})})

    sizes = notionals(accounts)
    assert len(sizes) == MANY
    # Each is cut to whole micro-USD, then to whole units of the contract: 1 micro-USD at 100 USD.
    assert 0 <= 50_000_000 * USD_SCALE - sum(sizes) <= 2 * MANY + 1
    assert max(sizes) <= max_usd * USD_SCALE
    assert min(sizes) > 0


def test_what_the_cap_cuts_off_goes_to_the_others():
    free, capped = (
        notionals(draw({"longs": crowd(size={"alpha": 1.1, "max_usd": usd})}))
        for usd in (999_999_999, 30_000)
    )

    at_cap = [size >= 30_000 * USD_SCALE - 2 for size in capped]
    assert 20 < sum(at_cap) < MANY // 2
    # The others grow by one common factor, and the largest of the free were those capped.
    factors = [
        after / before for before, after, cut in zip(free, capped, at_cap, strict=True) if not cut
    ]
    assert max(factors) == pytest.approx(min(factors), rel=1e-5)
    assert min(factors) > 1
    assert min(before for before, cut in zip(free, at_cap, strict=True) if cut) >= max(
        before for before, cut in zip(free, at_cap, strict=True) if not cut
    )


@pytest.mark.parametrize("alpha", [0.8, 1.5, 4])
def test_sizes_follow_a_pareto_law(alpha):
    sizes = sorted(notionals(draw({"longs": crowd(size={"alpha": alpha})})))

    # Hill's estimator over all: a Pareto sample's logs over its least are exponential.
    hill = 1 / fmean(math.log(size / sizes[0]) for size in sizes[1:])
    assert hill == pytest.approx(alpha, rel=4 / math.sqrt(MANY))


# Sides --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", ["0", "0.3", "0.875", "1"])
def test_longs_hold_their_share_of_the_notional(share):
    spec = crowd(long_share=Decimal(share), size={"alpha": 1.1, "max_usd": 5_000_000})
    accounts = draw({"longs": spec})

    sizes = notionals(accounts)
    longs = sum(n for n, q in zip(sizes, accounts.quantities_e8.tolist(), strict=True) if q > 0)
    # The last and smallest accounts even out what the large ones left uneven.
    assert longs / sum(sizes) == pytest.approx(float(share), abs=1e-4)
    is_long = accounts.quantities_e8 > 0
    if share in {"0", "1"}:
        assert set(is_long.tolist()) == {share == "1"}


def test_a_share_is_of_the_notional_not_of_the_accounts():
    spec = crowd(accounts=3, size={"alpha": 0.1, "max_usd": 30_000_000}, long_share=Decimal("0.4"))
    accounts = draw({"longs": spec})

    sizes = notionals(accounts)
    held = {True: 0.0, False: 0.0}
    for quantity, size in zip(accounts.quantities_e8.tolist(), sizes, strict=True):
        held[quantity > 0] += size
    assert held[True] / sum(sizes) == pytest.approx(0.4, abs=0.01)
    assert max(sizes) / sum(sizes) == pytest.approx(0.6, abs=0.01)


# Leverage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [-0.99, -0.6, 0, 0.35, 0.8, 0.99])
def test_size_and_leverage_have_the_rank_correlation_asked_for(correlation):
    accounts = draw({"longs": crowd(size_leverage_correlation=correlation)})

    sizes, drawn = ranks(notionals(accounts)), ranks(leverages(accounts))
    spearman = float(np.corrcoef(sizes, drawn)[0, 1])
    # Four standard errors, which vanish towards plus and minus one.
    assert spearman == pytest.approx(correlation, abs=4 * (1 - correlation**2) / MANY**0.5 + 2e-3)


def test_the_correlation_is_that_of_ranks_not_of_normals():
    # Two normals correlated by 0.6 have ranks correlated by 0.582: only many accounts tell.
    count = 40_000
    accounts = draw({"longs": crowd(accounts=count, size_leverage_correlation=0.6)})

    sizes, drawn = ranks(notionals(accounts)), ranks(leverages(accounts))
    assert float(np.corrcoef(sizes, drawn)[0, 1]) == pytest.approx(0.6, abs=0.009)


def test_leverage_has_the_median_and_the_spread_asked_for():
    drawn = leverages(draw({"longs": crowd()}))

    logs = sorted(map(math.log, drawn))
    error = 0.5 / math.sqrt(MANY)
    assert logs[MANY // 2] == pytest.approx(math.log(5), abs=4 * 1.2533 * error)
    assert stdev(logs) == pytest.approx(0.5, abs=4 * error)


@pytest.mark.parametrize(("low", "high"), [(4, 6), (0.5, 5), (1, 99)])
def test_leverage_keeps_its_bounds(low, high):
    spec = crowd(leverage={"median": 5, "sigma": 1, "min": low, "max": high})
    drawn = leverages(draw({"longs": spec}))

    # Collateral is rounded up to a micro-USD and the position down to a unit of the contract.
    assert max(drawn) <= high
    assert min(drawn) >= low * (1 - 1e-6)
    if low < 5:
        assert min(drawn) == pytest.approx(low, rel=1e-6)
    if high < 99:
        assert max(drawn) == pytest.approx(high, rel=1e-6)


def test_without_spread_every_leverage_is_the_median():
    spec = crowd(leverage={"median": 7, "max": 99}, size_leverage_correlation=0.9)

    assert leverages(draw({"longs": spec})) == pytest.approx([7.0] * MANY, rel=1e-6)


# Entries ------------------------------------------------------------------------------------------

SAFE = {"median": 0.02, "min": 0.01, "max": 0.02}
"""Fifty times as much collateral as position: nobody is due whatever the entry."""
LAW = {"long_mean": 0.02, "long_sd": 0.03, "short_mean": -0.04, "short_sd": 0.01}


def entries(accounts: Accounts, *, is_long: bool) -> list[float]:
    rows = zip(accounts.quantities_e8.tolist(), accounts.entries_e8.tolist(), strict=True)
    return [entry / START_E8 for quantity, entry in rows if (quantity > 0) == is_long]


def test_entries_follow_the_law_of_their_side():
    accounts = draw({"longs": crowd(leverage=SAFE, entry=LAW)})

    for is_long, side in ((True, "long"), (False, "short")):
        drawn = entries(accounts, is_long=is_long)
        mean, sd = 1 + LAW[f"{side}_mean"], LAW[f"{side}_sd"]
        assert len(drawn) > MANY // 3
        assert fmean(drawn) == pytest.approx(mean, abs=4 * sd / math.sqrt(len(drawn)))
        assert stdev(drawn) == pytest.approx(sd, rel=4 / math.sqrt(2 * len(drawn)))
        below = sum(entry < mean for entry in drawn) / len(drawn)
        assert below == pytest.approx(NormalDist().cdf(0), abs=2 / math.sqrt(len(drawn)))


def test_without_a_law_everyone_enters_at_the_start_price():
    assert set(draw({"longs": crowd(leverage=SAFE)}).entries_e8.tolist()) == {START_E8}


def test_no_entry_is_below_the_least_price():
    law = {"long_mean": -0.9, "long_sd": 1, "short_mean": -0.9, "short_sd": 1}
    spec = crowd(leverage=SAFE, entry=law, notional_usd=100_000, size={"alpha": 50})

    assert draw({"longs": spec}).entries_e8.min() == 1


HOT = {"median": 25, "sigma": 0.8, "min": 1, "max": 99}


@pytest.mark.parametrize("attempts", [1, 3])
def test_who_would_be_due_draws_again_and_at_last_enters_at_the_start(attempts):
    """The entries that would have come are read off a twin of the cohort that is never due."""
    law = {"long_mean": 0.01, "long_sd": 0.03, "short_mean": 0, "short_sd": 0.03}
    spec = crowd(accounts=2_000, leverage=HOT, entry=law)
    first = draw({"longs": spec | {"leverage": SAFE}}, attempts=1)
    accounts = draw({"longs": spec}, attempts=attempts)

    twin = attrs.evolve(first, collaterals_uusd=accounts.collaterals_uusd)
    stayed = redrawn = given_up = 0
    for row in range(2_000):
        entry = int(accounts.entries_e8[row])
        assert margin_at_start(accounts, row) >= 0  # Nobody is due at the start.
        if margin_at_start(twin, row) >= 0:
            assert entry == int(first.entries_e8[row])  # No draw was wasted.
            stayed += 1
        elif entry == START_E8:
            given_up += 1
        else:
            assert entry != int(first.entries_e8[row])
            redrawn += 1
    assert stayed > 1_000
    assert given_up > (200 if attempts == 1 else 20)
    assert redrawn == 0 if attempts == 1 else redrawn > 200


def test_more_attempts_change_nobody_who_had_found_an_entry():
    law = {"long_sd": 0.05, "short_sd": 0.05}
    few, many = (
        draw({"longs": crowd(accounts=2_000, leverage=HOT, entry=law)}, attempts=attempts)
        for attempts in (2, 50)
    )

    had_found = few.entries_e8 != START_E8
    assert 100 < had_found.sum() < 2_000
    assert (few.entries_e8 == many.entries_e8)[had_found].all()
    assert (many.entries_e8 == START_E8).sum() < 5


@pytest.mark.parametrize("due_at_zero", [False, True])
def test_a_margin_of_exactly_zero_is_due_only_where_the_venue_says_so(due_at_zero):
    law = {"long_mean": Decimal("0.25")}
    # Long 1,250 USD at 125: ten units; 250 lost at 100; 1 % of 1,000 is 10: collateral 260.
    spec = cohort(
        notional_usd=1_250, entry=law, leverage={"median": 1_250 / 260, "min": 1, "max": 50}
    )
    accounts = draw({"longs": spec}, due_at_zero=due_at_zero)

    assert accounts.collaterals_uusd.tolist() == [260 * USD_SCALE]
    assert accounts.entries_e8.tolist() == [START_E8 if due_at_zero else 125 * UNIT_SCALE]
    if not due_at_zero:
        assert margin_at_start(accounts, 0) == 0


def test_tiers_decide_who_is_due_at_the_start():
    # The second tier makes a large account due at an entry that a small one may keep.
    law = {"long_mean": Decimal("0.05")}
    tiers = {"ETH": market(maintenance=[[0, Decimal("0.01")], [10, Decimal("0.2")]])}
    leverage = {"median": 10, "max": 10}
    small, large = (
        draw({"longs": cohort(notional_usd=usd, entry=law, leverage=leverage)}, markets=tiers)
        for usd in (1_000, 4_000)
    )

    assert small.entries_e8.tolist() == [105 * UNIT_SCALE]
    assert large.entries_e8.tolist() == [START_E8]


# Rows ---------------------------------------------------------------------------------------------


def test_accounts_are_named_and_numbered_by_cohort():
    spec = {"whales": crowd(accounts=2), "shrimps": crowd(accounts=3, market="BTC")}
    accounts = draw(spec, markets={"ETH": market(), "BTC": market()})

    assert accounts.names == [
        "whales_00000",
        "whales_00001",
        "shrimps_00000",
        "shrimps_00001",
        "shrimps_00002",
    ]
    assert accounts.cohorts == ["whales"] * 2 + ["shrimps"] * 3
    assert accounts.market_ids.tolist() == [0, 0, 1, 1, 1]
    for column in ("market_ids", *COLUMNS):
        array = getattr(accounts, column)
        assert array.dtype == np.int64
        assert array.flags.c_contiguous


def test_a_cohort_does_not_depend_on_the_others():
    spec = crowd(accounts=200, leverage=HOT, entry=LAW, size_leverage_correlation=0.5)
    other = crowd(accounts=77, leverage=HOT, entry=LAW, notional_usd=1_000_000)
    alone = rows_of(draw({"longs": spec}), "longs")

    after = draw({"longs": spec, "zzz": other})
    before = draw({"aaa": other, "longs": spec})
    changed_other = draw({"aaa": other | {"accounts": 78}, "longs": spec})

    assert rows_of(after, "longs") == alone
    assert rows_of(before, "longs") == alone
    assert rows_of(changed_other, "longs") == alone


def test_a_cohort_is_keyed_by_its_name_and_the_seed():
    spec = crowd(accounts=50, entry=LAW)

    def columns(name, seed):
        return tuple(row[1:] for row in rows_of(draw({name: spec}, seed=seed), name))

    assert columns("longs", 1) == columns("longs", 1)
    assert len({columns("longs", 1), columns("longs", 2), columns("other", 1)}) == 3


def test_the_draws_of_an_account_do_not_depend_on_how_many_there_are():
    # Sizes are scaled to the total, but leverage and entry belong to the account.
    few, many = (
        draw({"longs": crowd(accounts=n, leverage=SAFE | {"sigma": 1}, entry=LAW, long_share=1)})
        for n in (50, 500)
    )

    assert few.entries_e8.tolist() == many.entries_e8.tolist()[:50]
    assert leverages(few) == pytest.approx(leverages(many)[:50], rel=1e-6)


def test_a_position_below_one_unit_of_quantity_is_refused():
    spec = cohort(
        notional_usd=Decimal("0.01"), accounts=9, size={"alpha": 50}, entry={"long_mean": 10}
    )
    scenario = load(small_scenario(population__cohorts={"dust": spec}))

    with pytest.raises(ScenarioError, match=r"^population\.cohorts\.dust: account 0 of .* USD"):
        draw_accounts(
            scenario.population,
            scenario.markets,
            [9_999_999_999 * UNIT_SCALE // 11],
            rules=margin_rules(scenario),
            seed=1,
            due_at_zero=False,
        )
