"""
What the insurance fund may pay now: no more than so much for a slice, nor in any span of time.

The same amount bounds the limit price of an order and what the fund pays for its fill, so that an
order is not sent to where nobody would pay for it.
"""

from liqsim.scenario.mitigations import FundLimits


def payable_uusd(spec: FundLimits, used_uusd: int, paid_uusd: int) -> int:
    """
    Return the most that the fund may pay now.

    Args:
        spec: The limit.
        used_uusd: What it has paid in the span.
        paid_uusd: What of that, or before, was for the same slice.

    >>> spec = FundLimits("", "", True, 60, 100, 10)
    >>> payable_uusd(spec, 0, 0), payable_uusd(spec, 70, 20), payable_uusd(spec, 100, 0)
    (60, 30, 0)
    """
    return max(min(spec.max_draw_uusd - paid_uusd, spec.max_window_uusd - used_uusd), 0)
