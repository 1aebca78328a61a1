"""How a liquidation penalty is split between keeper, fund, treasury and burn."""

from liqsim.scenario.mitigations import PenaltyRouting
from liqsim.units import RATIO_SCALE


def split_uusd(spec: PenaltyRouting, penalty_uusd: int, *, has_keeper: bool) -> dict[str, int]:
    """
    Return what each receiver is due of a penalty, in micro-USD; all of it together.

    Shares are rounded down, and what that leaves goes to `spec.remainder`. Without a keeper all
    that would be the keeper's is that of `spec.without_keeper`.

    >>> spec = PenaltyRouting("", "", True, 333_333, 333_333, 0, 333_334, "fund", "burn")
    >>> split_uusd(spec, 100, has_keeper=True)
    {'keeper': 33, 'fund': 34, 'treasury': 0, 'burn': 33}
    >>> split_uusd(spec, 100, has_keeper=False)
    {'keeper': 0, 'fund': 34, 'treasury': 0, 'burn': 66}
    """
    parts = {
        name: penalty_uusd * share_e6 // RATIO_SCALE for name, share_e6 in spec.shares_e6.items()
    }
    parts[spec.remainder] += penalty_uusd - sum(parts.values())
    if not has_keeper:
        parts[spec.without_keeper] += parts["keeper"]
        parts["keeper"] = 0
    return parts
