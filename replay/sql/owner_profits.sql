-- owner_profits: what every owner but `outside` has made of the run, valued at its end; without the
--                accounts that are kept for arrivals and never arrived.
--
-- owner_id       the owner
-- owner          its name
-- kind           makers, fund, treasury, network, keeper, bucket, backer, staker, vault, pool, bidder, desk or burn
-- cohort         cohort of an account; null for others and for accounts of a file
-- has_arrived    whether it is an account that opened during the run
-- is_liquidated  whether it was triggered at least once
-- given_usd      what it was given from outside, less what it took out; coins at the price of the end,
--                so that holding them is no profit
-- equity_usd     its cash, units and coins after the last event, each market at the last price that the log
--                states: at the end of the run the market price
-- profit_usd     equity_usd - given_usd; over all owners it adds to zero, exactly
create or replace temp view owner_profits as
with prices as (
    select market_id, arg_max(price, seq) as price
    from (
        select p.market_id, -1 as seq, p.price
        from reference_prices as p
        join runs as r on r.start_at = p.sim_time
        union all
        select market_id, seq, price from stated_prices
    )
    group by market_id
),
held as (
    select owner_id, asset_id - 1 as market_id, sum(amount)::decimal(38, 8) as quantity
    from (
        select owner_id, asset_id, amount from unit_postings
        union all
        select owner_id, -asset_id, amount from coin_postings
    )
    group by owner_id, asset_id
),
worth as (
    select h.owner_id, sum((h.quantity * p.price)::decimal(38, 16))::decimal(38, 16) as value_usd
    from held as h
    join prices as p on p.market_id = h.market_id
    group by h.owner_id
),
cash as (
    select owner_id, sum(amount)::decimal(38, 16) as cash_usd from cash_postings group by owner_id
),
given as (
    select owner_id, sum(amount_usd)::decimal(38, 16) as given_usd
    from (
        select owner_id, amount_usd::decimal(38, 16) as amount_usd from funds_deposited
        union all
        select bucket_id, -amount_usd from funds_withdrawn
        union all
        select d.bucket_id, d.quantity::decimal(38, 8) * p.price
        from coins_deposited as d
        join prices as p on p.market_id = d.market_id
    )
    group by owner_id
),
triggered as (select distinct bucket_id from liquidation_triggered),
there as (
    select p.owner_id, min(e.sim_time) > any_value(r.start_at) as is_late
    from (select owner_id, min(seq) as seq from postings group by owner_id) as p
    join events as e on e.seq = p.seq
    cross join runs as r
    group by p.owner_id
)
select o.owner_id, o.name as owner, o.kind, o.cohort,
    o.kind = 'bucket' and n.is_late as has_arrived, t.bucket_id is not null as is_liquidated,
    coalesce(g.given_usd, 0)::decimal(38, 16) as given_usd,
    (coalesce(c.cash_usd, 0) + coalesce(w.value_usd, 0))::decimal(38, 16) as equity_usd,
    (coalesce(c.cash_usd, 0) + coalesce(w.value_usd, 0) - coalesce(g.given_usd, 0))::decimal(38, 16)
        as profit_usd
from owners as o
left join worth as w on w.owner_id = o.owner_id
left join cash as c on c.owner_id = o.owner_id
left join given as g on g.owner_id = o.owner_id
left join triggered as t on t.bucket_id = o.owner_id
left join there as n on n.owner_id = o.owner_id
where o.kind <> 'outside' and (o.kind <> 'bucket' or n.owner_id is not null)
