-- pool_deposits: one row per deposit in a pool, and one per pool for what rounding leaves of it.
--
-- seq             the deposit; null for what rounding leaves
-- pool_id         the pool
-- pool            its name
-- deposit_number  count within the pool, from 1; null for what rounding leaves
-- deposit_usd     what was put in; null likewise
-- share           its share of all that was put in; null likewise
-- equity_usd      its share of what the pool is worth at the end, as in owner_profits, rounded down to 1e-6:
--                 zero of a pool that is worth less than nothing
-- profit_usd      equity_usd less the deposit; over all rows of a pool its profit
create or replace temp view pool_deposits as
with given as (
    select d.seq, d.owner_id as pool_id,
        row_number() over (partition by d.owner_id order by d.seq) as deposit_number,
        d.amount_usd,
        sum(d.amount_usd) over (partition by d.owner_id) as all_usd
    from funds_deposited as d
    join owners as o on o.owner_id = d.owner_id and o.kind = 'pool'
),
valued as (
    select g.*, p.owner as pool, p.equity_usd as pool_usd,
        floor(greatest(p.equity_usd, 0) * 1000000)::hugeint as pool_uusd
    from given as g
    join owner_profits as p on p.owner_id = g.pool_id
),
parts as (
    select seq, pool_id, pool, deposit_number, amount_usd, pool_usd,
        amount_usd::double / all_usd::double as share,
        (pool_uusd * (amount_usd * 1000000)::hugeint // (all_usd * 1000000)::hugeint)
            ::decimal(38, 0) as part_uusd
    from valued
)
select seq, pool_id, pool, deposit_number, amount_usd::decimal(38, 6) as deposit_usd, share,
    (part_uusd * 0.000001)::decimal(38, 16) as equity_usd,
    (part_uusd * 0.000001 - amount_usd)::decimal(38, 16) as profit_usd
from parts
union all
select null, pool_id, any_value(pool), null, null, null,
    (any_value(pool_usd) - sum(part_uusd) * 0.000001)::decimal(38, 16),
    (any_value(pool_usd) - sum(part_uusd) * 0.000001)::decimal(38, 16)
from parts
group by pool_id
order by pool_id, deposit_number nulls last
