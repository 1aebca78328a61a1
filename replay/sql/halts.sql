-- halts: one row per halt that a breaker has announced.
--
-- seq            the decision
-- mitigation_id  place of the breaker in the scenario, from 0
-- action         halted: liquidations; risk_halted: opening and enlarging positions
-- market         name of the market; null for all
-- seen_market    name of the market that was observed
-- level_number   level of the breaker, from 1
-- halted_at      from when
-- until_at       until when, as announced
-- halted_us      from then to until_at, or to the end of the log if that is earlier
create or replace temp view halts as
select d.seq, d.mitigation_id, d.action, a.name as market, s.name as seen_market,
    d.level_number, d.sim_time as halted_at, d.until_at,
    epoch_us(least(d.until_at, z.ends_at)) - epoch_us(d.sim_time) as halted_us
from decision_recorded as d
cross join log_end as z
left join assets as a on a.market_id = d.market_id
left join assets as s on s.market_id = d.seen_market_id
where d.action in ('halted', 'risk_halted')
