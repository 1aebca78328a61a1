-- oracle_lag: one row per oracle update.
--
-- seq              the event
-- market           name of the market
-- price            the oracle's price from then on: without a mark rule, the mark price
-- reason           first, deviation or heartbeat
-- sampled_at       when its median report was sampled
-- published_at     when the oracle published
-- landed_at        when it reached the venue
-- lag_us           landed less sampled
-- reference_price  reference price when it landed
-- mark_error       price / reference_price - 1
-- cause_seq        the forced fill without which it would not have been published, if any
create or replace temp view oracle_lag as
select u.seq, a.name as market, u.price, u.reason, u.sampled_at, u.published_at,
    u.sim_time as landed_at, epoch_us(u.sim_time) - epoch_us(u.sampled_at) as lag_us,
    r.price as reference_price, u.price::double / r.price::double - 1 as mark_error, u.cause_seq
from oracle_updated as u
left join assets as a on a.market_id = u.market_id
asof left join reference_prices as r
    on r.market_id = u.market_id and u.sim_time >= r.sim_time
