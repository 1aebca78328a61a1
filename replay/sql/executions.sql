-- executions: one row per execution of a part of a tranche, by any route; of a crossing one per side.
--
-- seq              the event
-- sim_time         when
-- tranche_seq      its tranche
-- liquidation_seq  its liquidation (the trigger)
-- bucket_id        the bucket liquidated
-- counterparty_id  who took the other side: the makers, a keeper, a deleveraged or crossed bucket
-- market_id        which market
-- route            filled, taken_over, deleveraged or crossed
-- quantity         units, signed as the bucket's order
-- price            price of the execution
-- value_usd        |quantity| x price, exact
-- cost_usd         what the bucket paid, rounded up
-- fee_usd          fee the bucket paid
create or replace temp view executions as
with parts as (
    select seq, sim_time, tranche_seq, bucket_id, 1 as counterparty_id, market_id,
        'filled' as route, quantity, price, cost_usd, fee_usd
    from order_filled
    union all
    select seq, sim_time, tranche_seq, bucket_id, keeper_id, market_id,
        'taken_over', quantity, price, cost_usd, fee_usd
    from tranche_taken_over
    union all
    select seq, sim_time, tranche_seq, bucket_id, counterparty_id, market_id,
        'deleveraged', quantity, price, cost_usd, 0::decimal(18, 6)
    from position_deleveraged
    union all
    select seq, sim_time, tranche_seq, bucket_id, counterparty_id, market_id,
        'crossed', quantity, price, cost_usd, fee_usd
    from tranches_crossed
    union all
    select seq, sim_time, other_tranche_seq, counterparty_id, bucket_id, market_id,
        'crossed', -quantity, price, -cost_usd, other_fee_usd
    from tranches_crossed
)
select p.seq, p.sim_time, p.tranche_seq, t.liquidation_seq, p.bucket_id, p.counterparty_id,
    p.market_id, p.route, p.quantity, p.price, abs(p.quantity)::decimal(38, 8) * p.price as value_usd,
    p.cost_usd, p.fee_usd
from parts as p
left join tranche_started as t on t.seq = p.tranche_seq
