"""What a batch auction of due slices clears, and at which one price."""

from collections.abc import Sequence

import attrs

from liqsim.mechanics.desk import desk_size_e8
from liqsim.scenario.mitigations import BatchAuction
from liqsim.units import BOUND, NOTIONAL_DIVISOR, RATIO_SCALE


@attrs.frozen
class Lot:
    """
    A slice in an auction.

    Attributes:
        quantity_e8: The slice as an order: negative sells.
        reserve_e8: The worst price at which it trades; 0 where none is too bad.
    """

    quantity_e8: int
    reserve_e8: int

    def slack_e8(self, mark_e8: int) -> int:
        """Return how far the price may move against it from the mark."""
        if self.quantity_e8 < 0:
            return mark_e8 - self.reserve_e8
        return (self.reserve_e8 or BOUND) - mark_e8


def next_auction_us(now_us: int, period_us: int) -> int:
    """
    Return when the next auction is, later than now.

    >>> next_auction_us(9, 10), next_auction_us(10, 10)
    (10, 20)
    """
    return (now_us // period_us + 1) * period_us


def width_e8(mark_e8: int, distance_e6: int) -> int:
    """
    Return how far from the mark the last bid stands, at least one unit of the scale.

    >>> width_e8(100 * 10**8, 20_000) / 10**8
    2.0
    """
    return max(mark_e8 * distance_e6 // RATIO_SCALE, 1)


def bids_e8(
    spec: BatchAuction, *, mark_e8: int, free_uusd: int, held_e8: int, is_long: bool
) -> int:
    """
    Return the units of all bids: what capital pays for at the dearest bid, and the limit leaves.

    0 if they are worth less than the least.

    Args:
        spec: The mitigation.
        mark_e8: The mark.
        free_uusd: Capital of bidders that is free.
        held_e8: What they hold in the market; negative is short.
        is_long: Whether they buy, of longs.
    """
    bids = desk_size_e8(
        spec.bids_uusd * NOTIONAL_DIVISOR // mark_e8,
        price_e8=mark_e8 if is_long else mark_e8 + width_e8(mark_e8, spec.distance_e6),
        mark_e8=mark_e8,
        free_uusd=free_uusd,
        held_e8=held_e8,
        limit_uusd=spec.position_limit_uusd,
        is_long=is_long,
    )
    return bids if bids * mark_e8 >= spec.least_uusd * NOTIONAL_DIVISOR else 0


def clear(
    lots: Sequence[Lot], *, mark_e8: int, width_e8: int, bids_e8: int
) -> tuple[int, list[int]]:
    """
    Return the price at which *lots* clear, and the units of each that are filled.

    The side of which less is offered is filled whole. For the other the price moves away from the
    mark until those for whom it may move further are no more than that and the bids up to there:
    they are filled whole, and those for whom it may move no further in proportion, rounded down;
    the units left over go one each to the first. At the last bid all of them stand in proportion;
    where nobody bids that is the mark.

    Args:
        lots: In the order in which units left over are given.
        mark_e8: The mark.
        width_e8: How far from it the last bid stands.
        bids_e8: Units of all bids, which are spread evenly up to there.

    >>> ten, usd = 10 * 10**8, 10**8
    >>> clear([Lot(-ten, 97 * usd), Lot(-ten, 90 * usd)], mark_e8=100 * usd, width_e8=4 * usd,
    ...       bids_e8=4 * ten)
    (9800000000, [1000000000, 1000000000])
    >>> clear([Lot(-ten, 99 * usd), Lot(-ten, 90 * usd)], mark_e8=100 * usd, width_e8=4 * usd,
    ...       bids_e8=5 * ten)
    (9900000000, [250000000, 1000000000])
    """
    sold, bought = (_units(lots, sign) for sign in (-1, 1))
    sign, matched = (-1, bought) if sold >= bought else (1, sold)
    slacks = [lot.slack_e8(mark_e8) if lot.quantity_e8 * sign > 0 else -1 for lot in lots]
    sizes = [abs(lot.quantity_e8) for lot in lots]

    def room_e8(moved_e8: int) -> int:
        return matched + bids_e8 * moved_e8 // width_e8

    def better_e8(moved_e8: int) -> int:
        return sum(size for size, slack in zip(sizes, slacks, strict=True) if slack > moved_e8)

    low, high = 0, width_e8 if bids_e8 else 0
    while low < high:
        middle = (low + high) // 2
        if better_e8(middle) <= room_e8(middle):
            high = middle
        else:
            low = middle + 1
    ahead, room = better_e8(low), room_e8(low)
    is_enough = ahead <= room
    fills = [
        size if slack < 0 or (is_enough and slack > low) else 0
        for size, slack in zip(sizes, slacks, strict=True)
    ]
    last = [n for n, slack in enumerate(slacks) if (slack == low if is_enough else slack > low)]
    shares = _shared(room - ahead if is_enough else room, [sizes[n] for n in last])
    for n, share in zip(last, shares, strict=True):
        fills[n] = share
    return max(mark_e8 + sign * low, 1), fills


def _units(lots: Sequence[Lot], sign: int) -> int:
    return sum(abs(lot.quantity_e8) for lot in lots if lot.quantity_e8 * sign > 0)


def _shared(total_e8: int, sizes_e8: Sequence[int]) -> list[int]:
    """Return *sizes_e8* cut to *total_e8* in proportion; units left over go to the first."""
    whole = sum(sizes_e8)
    if whole <= total_e8:
        return list(sizes_e8)
    shares = [total_e8 * size // whole for size in sizes_e8]
    spare = total_e8 - sum(shares)
    return [share + (n < spare) for n, share in enumerate(shares)]


def pairs_e8(sold_e8: Sequence[int], bought_e8: Sequence[int]) -> list[tuple[int, int, int]]:
    """
    Return who sells how much to whom (seller, buyer, units), both in order, until one side is out.

    >>> pairs_e8([5, 0, 4], [6, 2])
    [(0, 0, 5), (2, 0, 1), (2, 1, 2)]
    """
    pairs, buyer, left = [], 0, list(bought_e8)
    for seller, units in enumerate(sold_e8):
        rest = units
        while rest and buyer < len(left):
            part = min(rest, left[buyer])
            if part:
                pairs.append((seller, buyer, part))
            rest -= part
            left[buyer] -= part
            buyer += not left[buyer]
    return pairs
