-- genealogy: one row per liquidation: which other liquidation's sale brought it about. One that
--            steps of a mitigation alone brought about is a root.
--
-- liquidation_seq         the trigger
-- triggered_at            when
-- market                  name of the market whose mark made it due
-- update_seq              the event that made that mark; null if a change of maintenance
--                         or funding made it due
-- shows_at                just before this the displacement stood that the mark shows
-- parent_fill_seq         the newest forced fill in that market before then, if any of what such
--                         fills consumed was still left; else null
-- parent_liquidation_seq  the liquidation whose fill that is; null without one
-- generation              ancestors that it has; 0 without a parent
-- episode                 first liquidation of its episode: of those joined through forced fills,
--                         cut where what the fills consumed had refilled between one and the next
-- last_fill_at            its last forced fill; null without one
-- usd                     |quantity| x price over all its executions, exact
create or replace temp view genealogy as
with seen as materialized (from residuals),
forced as materialized (from forced_fills),
lines as (
    select l.seq as liquidation_seq, l.sim_time as triggered_at, l.market_id,
        u.seq as update_seq, u.shows_at,
        case when r.consumed <> 0 then r.newest_fill_seq end as parent_fill_seq
    from liquidation_triggered as l
    left join marks as u on u.seq = l.cause_seq
    left join seen as r on r.seq = l.cause_seq and not r.is_fill
),
fathered as (
    select l.*, f.liquidation_seq as parent_liquidation_seq
    from lines as l
    left join forced as f on f.seq = l.parent_fill_seq
),
generations as (
    select unnest(list(liquidation_seq order by liquidation_seq)) as liquidation_seq,
        unnest(generations_of(
            list(liquidation_seq order by liquidation_seq),
            list(coalesce(parent_liquidation_seq, -1) order by liquidation_seq)
        )) as generation
    from fathered
),
runs_of_fills as (select seq, run_seq from seen where is_fill),
last_fills as (
    select liquidation_seq, max(sim_time) as sim_time from forced group by liquidation_seq
),
links as (
    select l.liquidation_seq, r.run_seq as other
    from fathered as l join runs_of_fills as r on r.seq = l.parent_fill_seq
    union
    select f.liquidation_seq, r.run_seq
    from forced as f join runs_of_fills as r on r.seq = f.seq
    where f.liquidation_seq is not null
    union
    select liquidation_seq, liquidation_seq from fathered
),
joined as (
    select unnest(list(liquidation_seq order by liquidation_seq, other)) as liquidation_seq,
        unnest(components_of(
            list(liquidation_seq order by liquidation_seq, other),
            list(other order by liquidation_seq, other)
        )) as component
    from links
),
episodes as (
    select distinct liquidation_seq, min(liquidation_seq) over (partition by component) as episode
    from joined
),
sold as (
    select liquidation_seq, sum(value_usd) as usd from executions group by liquidation_seq
)
select l.liquidation_seq, l.triggered_at, a.name as market, l.update_seq, l.shows_at,
    l.parent_fill_seq, l.parent_liquidation_seq, g.generation, e.episode,
    f.sim_time as last_fill_at,
    coalesce(s.usd, 0)::decimal(38, 16) as usd
from fathered as l
left join assets as a on a.market_id = l.market_id
left join generations as g on g.liquidation_seq = l.liquidation_seq
left join episodes as e on e.liquidation_seq = l.liquidation_seq
left join last_fills as f on f.liquidation_seq = l.liquidation_seq
left join sold as s on s.liquidation_seq = l.liquidation_seq
