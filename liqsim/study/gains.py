"""Who is better off under one variant than under another, over all owners."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

import attrs

from replay.measures import Profit

_MICRO: Final = Decimal("0.000001")
_ACCOUNTS: Final[Mapping[tuple[bool, bool], str]] = {
    (True, True): "accounts liquidated in both",
    (True, False): "accounts liquidated in the first alone",
    (False, True): "accounts liquidated here alone",
    (False, False): "accounts liquidated in neither",
}
_ARRIVED: Final = "accounts that arrived"
GROUPS: Final = (
    *_ACCOUNTS.values(), _ARRIVED,
    "makers", "fund", "backer", "staker", "treasury", "keeper", "desk", "vault", "pool",
    "bidder", "network", "burn",
)  # fmt: skip
"""
Groups of owners: accounts by whether the first run and this one liquidated them, else kinds.

Who arrives during a run is somebody else in another: these are held against each other as one.
"""

_TAKES_ROUNDING: Final = "makers"


@attrs.frozen
class Gain:
    """
    How one group fares against the first variant.

    Attributes:
        group: One of `GROUPS`.
        owners: How many there are.
        better: How many are better off.
        worse: How many are worse off.
        gained_usd: What those who are better off gained.
        lost_usd: What the others lost, as a negative amount.
        net_usd: Both; over all groups it adds to zero, the rounding to 1e-6 being the makers'.
    """

    group: str
    owners: int
    better: int
    worse: int
    gained_usd: Decimal
    lost_usd: Decimal
    net_usd: Decimal


def gains(first: Sequence[Profit], here: Sequence[Profit]) -> list[Gain]:
    """
    Return who gained and who lost from the *first* run to the one *here*.

    An owner that one of them lacks made nothing there.

    >>> account = Profit("bucket", "a", False, True, -5)
    >>> makers = Profit("makers", "m", False, False, 5)
    >>> here = [attrs.evolve(account, is_liquidated=False, usd=2),
    ...         attrs.evolve(makers, usd=-2)]
    >>> [(gain.group, str(gain.net_usd)) for gain in gains([account, makers], here)]
    [('accounts liquidated in the first alone', '7.000000'), ('makers', '-7.000000')]
    """
    arrived = [[p.usd for p in profits if p.has_arrived] for profits in (first, here)]
    before, after = (
        {(p.kind, p.name): p for p in profits if not p.has_arrived} for profits in (first, here)
    )
    changes: defaultdict[str, list[Decimal]] = defaultdict(list)
    for key in dict.fromkeys([*before, *after]):
        one, two = before.get(key), after.get(key)
        known = two or one
        assert known is not None
        group = known.kind
        if group == "bucket":
            was = one is not None and one.is_liquidated
            group = _ACCOUNTS[was, two is not None and two.is_liquidated]
        changes[group].append((two.usd if two else Decimal(0)) - (one.usd if one else Decimal(0)))
    rows = {group: _gain(group, found) for group, found in changes.items()}
    if any(arrived):
        made = [sum(usd, Decimal(0)) for usd in arrived]
        changes[_ARRIVED] = [made[1] - made[0]]
        rows[_ARRIVED] = attrs.evolve(
            _gain(_ARRIVED, changes[_ARRIVED]), owners=len(arrived[1]), better=0, worse=0
        )
    # Nothing is lost on the way, and no owner is of a kind that the table does not know.
    assert sum((sum(found, Decimal(0)) for found in changes.values()), Decimal(0)) == 0
    return _with_rounding([rows.pop(group) for group in GROUPS if group in rows], left=rows)


def _with_rounding(rows: list[Gain], left: Mapping[str, Gain]) -> list[Gain]:
    """Give the makers what rounding leaves."""
    assert not left, f"no group for {', '.join(left)}"
    rest = sum((row.net_usd for row in rows), Decimal(0))
    return [
        attrs.evolve(row, net_usd=row.net_usd - rest) if row.group == _TAKES_ROUNDING else row
        for row in rows
    ]


def mean_gains(runs: Sequence[Sequence[Gain]]) -> list[Gain]:
    """Return the means over *runs*, which add to zero as each run does; counts are rounded."""
    count = len(runs)
    found = {
        group: [row for rows in runs for row in rows if row.group == group] for group in GROUPS
    }
    means = [
        Gain(
            group,
            round(sum(row.owners for row in rows) / count),
            round(sum(row.better for row in rows) / count),
            round(sum(row.worse for row in rows) / count),
            _cut(sum((row.gained_usd for row in rows), Decimal(0)) / count),
            _cut(sum((row.lost_usd for row in rows), Decimal(0)) / count),
            _cut(sum((row.net_usd for row in rows), Decimal(0)) / count),
        )
        for group, rows in found.items()
        if rows
    ]
    return _with_rounding(means, left={})


def _gain(group: str, changes: Sequence[Decimal]) -> Gain:
    gained, lost = ([c for c in changes if c > 0], [c for c in changes if c < 0])
    return Gain(
        group,
        len(changes),
        len(gained),
        len(lost),
        _cut(sum(gained, Decimal(0))),
        _cut(sum(lost, Decimal(0))),
        _cut(sum(changes, Decimal(0))),
    )


def _cut(value: Decimal) -> Decimal:
    return value.quantize(_MICRO, ROUND_HALF_EVEN)
