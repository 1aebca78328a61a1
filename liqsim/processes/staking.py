"""Stakers, who pay for holes that the insurance fund cannot fill."""

from liqsim.events import StakeSlashed
from liqsim.mechanics.mitigations.staking import decide_slashing
from liqsim.processes.context import Context
from liqsim.scenario.mitigations import Staking, purses_of
from liqsim.units import format_usd


class Stakers:
    """
    All stakers of one venue.

    Args:
        context: The run.
        first_purse: Owner number of the first owner that mitigations bring in.
    """

    def __init__(self, context: Context, first_purse: int) -> None:
        self._context = context
        numbers = {market.name: n for n, market in enumerate(context.scenario.markets)}
        mitigations = context.scenario.mitigations
        purses = list(enumerate(purses_of(mitigations), first_purse))
        self._pools = [
            (number, numbers.get(spec.market), spec.max_share_e6, owners)
            for number, spec in enumerate(mitigations)
            if isinstance(spec, Staking)
            for owners in [[owner for owner, purse in purses if purse.mitigation_id == number]]
        ]

    def slash(self, tranche_seq: int, bucket: int, market_id: int, hole_uusd: int) -> int:
        """Have them pay what they can of a hole, one pool after the other; return how much."""
        cash, left = self._context.world.ledger.cash_view, hole_uusd
        for number, only, max_share_e6, owners in self._pools:
            if only not in (None, market_id) or not left:
                continue
            for slash in decide_slashing([cash[owner] for owner in owners], max_share_e6, left):
                owner, amount = owners[slash.place], slash.amount_uusd
                event = StakeSlashed(
                    mitigation_id=number,
                    tranche_seq=tranche_seq,
                    bucket_id=bucket,
                    staker_id=owner,
                    basis_uusd=slash.basis_uusd,
                    amount_uusd=amount,
                    balance_uusd=cash[owner] - amount,
                )
                self._context.journal.append(event, tranche_seq)
                left -= amount
        if left < hole_uusd:
            self._context.log.info(
                "stake_slashed", bucket_id=bucket, usd=format_usd(hole_uusd - left)
            )
        return hole_uusd - left
