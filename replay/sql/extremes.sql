-- extremes: one row per market, written at the end of the run: where its prices went.
--
-- seq                   the event
-- market                name of the market
-- start_price           reference price at the start
-- lowest_market         lowest market price
-- lowest_market_at      first instant at which it stood
-- highest_market        highest market price
-- highest_market_at     first instant at which it stood
-- lowest_reference      lowest reference price
-- lowest_reference_at   first instant at which it stood
-- highest_reference     highest reference price
-- highest_reference_at  first instant at which it stood
-- end_market            market price at the last instant
-- end_reference         reference price at the last instant
create or replace temp view extremes as
select e.seq, a.name as market, e.start_price, e.lowest_market, e.lowest_market_at,
    e.highest_market, e.highest_market_at, e.lowest_reference, e.lowest_reference_at,
    e.highest_reference, e.highest_reference_at, e.end_market, e.end_reference
from market_extremes as e
left join assets as a on a.market_id = e.market_id
