-- books_at: one row per market: mark price and book right after event *upto*, as of an *instant*.
--
-- market_id   the market
-- market      its name
-- mark_price  mark price; the reference price before the first update has landed
-- mark_seq    the event that made it; null before the first
-- has_impact  whether orders move the price
-- book        consumed: volume not refilled, signed; net: volume ever traded, signed; bought and
--             sold: parts of it not refilled, each by itself; multiplier of the calm depth
create or replace temp macro books_at(upto, instant) as table
with asked as materialized (
    -- Once: an argument may be a question of its own.
    select upto::bigint as last_seq, instant::timestamp as moment,
        (select epoch_us(start_at) from runs) as start_us
),
newest as (
    select market_id, max(seq) as seq, arg_max(price, seq) as price
    from marks where seq <= (select last_seq from asked) group by market_id
),
prices as (
    select market_id, arg_max(price, sim_time) as price
    from reference_prices where sim_time <= (select moment from asked) group by market_id
),
flows as (
    select market_id, seq, sim_time, quantity, 0::decimal(18, 6) as multiplier, 0 as half_life_us
    from order_filled
    union all
    select market_id, seq, sim_time, quantity, 0, 0 from inventory_sold
    union all
    select market_id, seq, sim_time, quantity, 0, 0 from trade_filled
    union all
    select market_id, seq, sim_time, quantity, 0, 0 from position_reduced
    union all
    select market_id, seq, sim_time, 0, multiplier, half_life_us from depth_changed
),
listed as (
    select f.market_id,
        list(epoch_us(f.sim_time) - q.start_us order by f.seq) as instants_us,
        list((f.quantity::decimal(28, 8) * 100000000)::bigint order by f.seq) as quantities_e8,
        list((f.multiplier::decimal(28, 6) * 1000000)::bigint order by f.seq) as multipliers_e6,
        list(f.half_life_us order by f.seq) as half_lives_us
    from flows as f cross join asked as q
    where f.seq <= q.last_seq
    group by f.market_id
)
select a.market_id, a.name as market, coalesce(m.price, p.price) as mark_price,
    m.seq as mark_seq, coalesce(b.has_impact, false) as has_impact,
    book_state(
        a.market_id, epoch_us(q.moment) - q.start_us,
        coalesce(l.instants_us, []), coalesce(l.quantities_e8, []),
        coalesce(l.multipliers_e6, []), coalesce(l.half_lives_us, [])
    ) as book
from assets as a
cross join asked as q
left join scenario_books as b on b.market_id = a.market_id
left join newest as m on m.market_id = a.market_id
left join prices as p on p.market_id = a.market_id
left join listed as l on l.market_id = a.market_id
where a.kind = 'contract'
