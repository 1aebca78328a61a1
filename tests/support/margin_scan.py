"""Who is due, found the slow way: plain integers, one account at a time, nothing imported."""


def maintenance_e14(tiers: list[tuple[int, int]], size_e8: int) -> int:
    """Return units x 1e-14 that maintenance asks for, walking the tiers from the largest down."""
    total, above = 0, size_e8
    for start, rate in sorted(tiers, reverse=True):
        if above > start:
            total += (above - start) * rate
            above = start
    return total


def margin_e22(cash_uusd: int, units_e8: int, tiers: list[tuple[int, int]], price_e8: int) -> int:
    """Return the margin in USD x 1e-22."""
    value_e16 = units_e8 * price_e8
    return cash_uusd * 10**16 + value_e16 * 10**6 - maintenance_e14(tiers, abs(units_e8)) * price_e8


def due_accounts(
    accounts: dict[int, tuple[int, int]],
    tiers: list[tuple[int, int]],
    price_e8: int,
    *,
    due_at_zero: bool,
) -> set[int]:
    """Return who of *accounts*, number to (cash, units), is due at *price_e8*."""
    due = set()
    for number, (cash, units) in accounts.items():
        if units == 0:
            continue
        margin = margin_e22(cash, units, tiers, price_e8)
        if margin < 0 or (margin == 0 and due_at_zero):
            due.add(number)
    return due
