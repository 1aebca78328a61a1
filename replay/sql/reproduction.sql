-- reproduction: one row per ten minutes in which liquidations were triggered: R over time.
--
-- since         start of the ten minutes
-- liquidations  those triggered within them
-- usd           what they sold, exact
-- children      liquidations whose parents they are, whenever triggered
-- children_usd  what these sold, exact
-- r             children_usd / usd; null if nothing was sold
create or replace temp view reproduction as
with spans as materialized (
    select *, time_bucket(interval '10 minutes', triggered_at) as since from genealogy
),
born as (
    select p.since, count(*) as children, sum(c.usd) as children_usd
    from spans as c
    join spans as p on p.liquidation_seq = c.parent_liquidation_seq
    group by p.since
),
sums as (select since, count(*) as liquidations, sum(usd) as usd from spans group by since)
select s.since, s.liquidations, s.usd, coalesce(b.children, 0) as children,
    coalesce(b.children_usd, 0)::decimal(38, 16) as children_usd,
    coalesce(b.children_usd, 0)::double / nullif(s.usd::double, 0) as r
from sums as s
left join born as b on b.since = s.since
