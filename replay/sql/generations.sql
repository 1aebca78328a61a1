-- generations: one row per episode and generation.
--
-- episode       first liquidation of the episode
-- generation    ancestors that its liquidations have
-- liquidations  how many they are
-- usd           what they sold, exact
-- next_usd      what the next generation of the episode sold
-- r             next_usd / usd, R of this generation; null if it sold nothing
-- first_at      first trigger
-- last_at       last trigger, or last forced fill if that is later
create or replace temp view generations as
with sums as (
    select episode, generation, count(*) as liquidations, sum(usd)::decimal(38, 16) as usd,
        min(triggered_at) as first_at,
        max(greatest(triggered_at, coalesce(last_fill_at, triggered_at))) as last_at
    from genealogy
    group by episode, generation
)
select episode, generation, liquidations, usd,
    -- A parent is of its child's episode, so that no generation is missing between two.
    coalesce(lead(usd) over onwards, 0)::decimal(38, 16) as next_usd,
    next_usd::double / nullif(usd::double, 0) as r, first_at, last_at
from sums
window onwards as (partition by episode order by generation)
