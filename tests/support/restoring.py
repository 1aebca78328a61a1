"""The price that restores the margin of a position by itself, without coins beside it."""

from liqsim.mechanics.margin import Pieces, safe_prices_e8


def restore_price(
    cash_uusd: int, of: Pieces, *, is_long: bool, due_at_zero: bool = False
) -> int | None:
    """Return the price nearest to danger at which a bucket is not due; None if there is none."""
    safe = safe_prices_e8(cash_uusd, of, due_at_zero=due_at_zero)
    return None if safe is None else safe[0 if is_long else 1]
