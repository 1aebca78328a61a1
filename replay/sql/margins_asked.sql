-- margins_asked: one row per change of maintenance rates, or of a haircut on coins, and market whose
--                rates or haircut are then other than at the start: what that asks of its accounts.
--
-- seq              the change, in this market or another
-- sim_time         when
-- market_id        which market
-- market           its name
-- multiplier       its rates from then on, as a multiple of those at the start
-- coin_haircut     share of the value of coins in it that does not count from then on
-- maintenance_usd  maintenance of all accounts in it under these rates, at the marks
-- at_start_usd     what it would be under the rates of the start
-- coins_usd        value of their coins that the haircut of the start would let count, and this not
-- more_usd         what is asked above the start in all; negative is less
create or replace temp view margins_asked as
with told as (
    select seq, sim_time from maintenance_changed
    union all
    select seq, sim_time from coin_haircut_changed
),
changes as (
    -- Every market at every change: together they are what is asked at that moment.
    select c.seq, c.sim_time, b.market_id, b.is_inverse, coalesce(k.multiplier, 1) as multiplier,
        (coalesce(k.multiplier, 1) * 1000000)::bigint as multiplier_e6,
        coalesce((h.coin_haircut * 1000000)::hugeint, b.coin_haircut_e6) as haircut_e6,
        b.coin_haircut_e6 as start_e6
    from told as c
    cross join scenario_books as b
    asof left join maintenance_changed as k on k.market_id = b.market_id and c.seq >= k.seq
    asof left join coin_haircut_changed as h on h.market_id = b.market_id and c.seq >= h.seq
),
apart as (
    select * from changes where multiplier <> 1 or haircut_e6 <> start_e6
),
held as (
    select p.owner_id, p.asset_id - 1 as market_id, p.seq,
        sum(p.amount) over (partition by p.owner_id, p.asset_id order by p.seq) as units
    from unit_postings as p
    semi join owners as o on o.owner_id = p.owner_id and o.kind = 'bucket'
),
legs as (
    select distinct owner_id, market_id from held
),
stood as (
    select c.*, l.owner_id
    from apart as c
    join legs as l on l.market_id = c.market_id
),
sized as (
    select s.*, (abs(h.units)::decimal(28, 8) * 100000000)::hugeint as size_e8
    from stood as s
    asof join held as h
        on h.owner_id = s.owner_id and h.market_id = s.market_id and s.seq >= h.seq
    where h.units <> 0
),
marked as (
    select s.*, m.price as mark
    from sized as s
    asof join marks as m on m.market_id = s.market_id and s.seq >= m.seq
),
coined as (
    select p.owner_id, -p.asset_id - 1 as market_id, p.seq,
        (sum(p.amount) over (partition by p.owner_id, p.asset_id order by p.seq)::decimal(28, 8)
            * 100000000)::hugeint as coins_e8
    from coin_postings as p
    semi join owners as o on o.owner_id = p.owner_id and o.kind = 'bucket'
),
cut as (
    select m.seq, m.market_id,
        sum(k.coins_e8 * (m.mark::decimal(28, 8) * 100000000)::hugeint
            * (m.haircut_e6 - m.start_e6)) as coins_e22
    from marked as m
    asof join coined as k
        on k.owner_id = m.owner_id and k.market_id = m.market_id and m.seq >= k.seq
    group by m.seq, m.market_id
),
counted as (
    select s.*, (case when s.is_inverse then e.entry_price else s.mark end::decimal(28, 8)
        * 100000000)::hugeint as price_e8
    from marked as s
    asof left join entry_prices as e
        on e.bucket_id = s.owner_id and e.market_id = s.market_id and s.seq >= e.seq
),
asked as (
    select c.*, r.multiplier_e6 as under_e6
    from counted as c
    cross join lateral (
        select distinct unnest([c.multiplier_e6, 1000000])
    ) as r(multiplier_e6)
),
maintained as (
    select a.seq, a.market_id, a.owner_id, a.under_e6,
        sum(t.step_e6 * greatest(a.size_e8 - t.start_e8, 0)) * a.price_e8 as margin_e22
    from asked as a
    join scenario_tiers as t on t.market_id = a.market_id and t.multiplier_e6 = a.under_e6
    group by a.seq, a.market_id, a.owner_id, a.under_e6, a.price_e8
    union all
    select a.seq, a.market_id, a.owner_id, a.under_e6,
        max(t.rate_e6 * a.size_e8 * a.price_e8 - t.less_e22)
    from asked as a
    join scenario_notional_tiers as t
        on t.market_id = a.market_id and t.multiplier_e6 = a.under_e6
    group by a.seq, a.market_id, a.owner_id, a.under_e6
),
sums as (
    select c.seq, c.sim_time, c.market_id, c.multiplier, c.haircut_e6,
        coalesce(sum(m.margin_e22) filter (m.under_e6 = c.multiplier_e6), 0) as now_e22,
        coalesce(sum(m.margin_e22) filter (m.under_e6 = 1000000), 0) as start_e22
    from apart as c
    left join maintained as m on m.seq = c.seq and m.market_id = c.market_id
    group by c.seq, c.sim_time, c.market_id, c.multiplier, c.haircut_e6
)
select s.seq, s.sim_time, s.market_id, a.name as market, s.multiplier,
    (s.haircut_e6 * 0.000001::decimal(6, 6))::decimal(7, 6) as coin_haircut,
    ((s.now_e22 // 10000000000000000)::decimal(32, 0) * 0.000001::decimal(6, 6))::decimal(38, 6)
        as maintenance_usd,
    ((s.start_e22 // 10000000000000000)::decimal(32, 0) * 0.000001::decimal(6, 6))::decimal(38, 6)
        as at_start_usd,
    ((coalesce(k.coins_e22, 0) // 10000000000000000)::decimal(32, 0)
        * 0.000001::decimal(6, 6))::decimal(38, 6) as coins_usd,
    maintenance_usd - at_start_usd + coins_usd as more_usd
from sums as s
left join cut as k on k.seq = s.seq and k.market_id = s.market_id
left join assets as a on a.market_id = s.market_id
