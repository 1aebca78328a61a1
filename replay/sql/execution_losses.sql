-- execution_losses: what each executed part of a liquidation lost against its bankruptcy price, and to
--                   what.
--
-- seq               the execution
-- liquidation_seq   its liquidation (the trigger)
-- bucket_id         the bucket liquidated
-- market_id         which market
-- route             filled, taken_over, deleveraged, crossed, or converted: coins of the account
--                   that were exchanged for USD, or bought, to settle what executions had left
-- quantity          units, signed as the bucket's order: negative sells a long; converted, coins
-- bankruptcy_price  that of the trigger; of a leg in another market its mark price at the trigger
-- crossing_price    shadow mark when the balances of the trigger were first due at the shadow marks;
--                   mark_price where they never were
-- mark_price        mark price at the trigger
-- landing_price     market price right before the fill; of a takeover, a deleveraging or a crossing
--                   the mark price then
-- cushion_usd       bankruptcy - crossing: negative is what it still had when it was first due
-- displacement_usd  crossing - trigger: what displacement in the mark cost, or, negative, gained
-- delay_usd         trigger - landing
-- slippage_usd      landing - fill: with what the bucket paid, so to the micro-dollar
-- fee_usd           fee the bucket paid
-- loss_usd          the five together: bankruptcy - fill, and fee; all for the quantity, exact, of
--                   a short with the sign turned: positive is a cost to the account
create or replace temp view execution_losses as
with converted as (
    select c.seq, t.liquidation_seq, c.account_id, c.market_id, c.price, c.amount_usd,
        (c.units + c.coins)::decimal(18, 8) as quantity
    from coins_settled as c
    join tranche_started as t on t.seq = c.tranche_seq and t.bucket_id = c.account_id
    where c.amount_usd <> 0 or c.units + c.coins <> 0
),
legs as (
    select distinct liquidation_seq, market_id from executions
),
at_trigger as (
    select l.liquidation_seq, l.market_id, u.price as mark_price
    from legs as l
    asof join marks as u
        on u.market_id = l.market_id and l.liquidation_seq > u.seq
),
at_crossing as (
    select c.liquidation_seq, c.market_id, s.price as crossing_price
    from (
        select l.liquidation_seq, l.market_id,
            coalesce(
                k.crossed_seq, case when k.class = 'first_order' then k.liquidation_seq end
            ) as crossing_seq
        from legs as l
        join liquidation_classes as k on k.liquidation_seq = l.liquidation_seq
    ) as c
    asof join shadow_marks as s on s.market_id = c.market_id and c.crossing_seq >= s.seq
),
levels as (
    select g.liquidation_seq, g.market_id, g.mark_price,
        case when t.market_id = g.market_id then t.bankruptcy_price else g.mark_price end
            as bankruptcy_price,
        coalesce(x.crossing_price, g.mark_price) as crossing_price
    from at_trigger as g
    join liquidation_triggered as t on t.seq = g.liquidation_seq
    left join at_crossing as x
        on x.liquidation_seq = g.liquidation_seq and x.market_id = g.market_id
),
landed as (
    select seq, arrival_price as landing_price from order_filled
    union all
    select seq, price from converted
    union all
    select distinct e.seq, u.price
    from executions as e
    asof join marks as u on u.market_id = e.market_id and e.seq > u.seq
    where e.route <> 'filled'
),
executed as (
    select seq, liquidation_seq, bucket_id, market_id, route, quantity, cost_usd, fee_usd
    from executions
    union all
    select seq, liquidation_seq, account_id, market_id, 'converted', quantity, -amount_usd, 0
    from converted
),
parts as (
    select e.seq, e.liquidation_seq, e.bucket_id, e.market_id, e.route, e.quantity,
        v.bankruptcy_price, v.crossing_price, v.mark_price, n.landing_price,
        (-e.quantity)::decimal(38, 8) as closed, e.cost_usd, e.fee_usd
    from executed as e
    join levels as v on v.liquidation_seq = e.liquidation_seq and v.market_id = e.market_id
    join landed as n on n.seq = e.seq
)
select seq, liquidation_seq, bucket_id, market_id, route, quantity, bankruptcy_price,
    crossing_price, mark_price, landing_price,
    (closed * (bankruptcy_price - crossing_price))::decimal(38, 16) as cushion_usd,
    (closed * (crossing_price - mark_price))::decimal(38, 16) as displacement_usd,
    (closed * (mark_price - landing_price))::decimal(38, 16) as delay_usd,
    (closed * landing_price + cost_usd)::decimal(38, 16) as slippage_usd, fee_usd,
    (closed * bankruptcy_price + cost_usd + fee_usd)::decimal(38, 16) as loss_usd
from parts
