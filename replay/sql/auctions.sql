-- auctions: one row per auction of due slices.
--
-- seq             the event
-- sim_time        when
-- mitigation      name of the mitigation, or its kind
-- market          name of the market
-- mark_price      mark price
-- price           the price at which all of it traded
-- distance        how far that is from the mark, as a share of it; negative is below
-- lots            slices that took part
-- for_sale        units of those that sell
-- for_purchase    units of those that buy
-- crossed         units that they traded with each other
-- taken           units that bidders took; negative is what they sold
-- unfilled        units of all lots that did not trade
-- bids            units that bidders would have taken at the end of their schedule
-- free_usd        capital of bidders that was free
create or replace temp view auctions as
with lots as (
    select cause_seq as auction_seq, count(*) as lots, sum(abs(quantity)) as offered,
        sum(filled) as filled
    from lot_offered
    group by cause_seq
)
select h.seq, h.sim_time, m.name as mitigation, a.name as market, h.mark_price, h.price,
    h.price::double / h.mark_price::double - 1 as distance, l.lots, h.for_sale, h.for_purchase,
    ((l.filled - abs(h.taken)) / 2)::decimal(38, 8) as crossed, h.taken,
    (l.offered - l.filled)::decimal(38, 8) as unfilled, h.bids, h.free_usd
from auction_held as h
left join lots as l on l.auction_seq = h.seq
left join mitigations as m on m.mitigation_id = h.mitigation_id
left join assets as a on a.market_id = h.market_id
