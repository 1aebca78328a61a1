-- episodes: one row per episode.
--
-- episode       its first liquidation
-- started_at    first trigger
-- ended_at      last trigger, or last forced fill if that is later
-- liquidations  how many
-- roots         those without a parent
-- usd           what they sold, exact
-- generations   how many generations
-- largest_r     largest R of a generation; null if none sold anything
create or replace temp view episodes as
select episode, min(first_at) as started_at, max(last_at) as ended_at,
    sum(liquidations)::bigint as liquidations,
    coalesce(sum(liquidations) filter (where generation = 0), 0)::bigint as roots,
    sum(usd)::decimal(38, 16) as usd, count(*) as generations, max(r) as largest_r
from generations
group by episode
