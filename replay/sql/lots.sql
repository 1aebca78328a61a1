-- lots: one row per due slice that took part in an auction.
--
-- seq              the event
-- sim_time         when
-- auction_seq      the auction
-- liquidation_seq  the liquidation (the trigger)
-- bucket_id        the account
-- bucket           its name
-- market           name of the market
-- quantity         the slice as an order: negative sells
-- reserve_price    the worst price at which it trades; 0 where none is too bad
-- price            the price of the auction
-- filled           units that traded
-- value_usd        filled x price, exact
-- held_since_at    when it could first have been put up
create or replace temp view lots as
select l.seq, l.sim_time, l.cause_seq as auction_seq, l.liquidation_seq, l.bucket_id,
    o.name as bucket, a.name as market, l.quantity, l.reserve_price, h.price, l.filled,
    l.filled::decimal(38, 8) * h.price as value_usd, l.held_since_at
from lot_offered as l
left join auction_held as h on h.seq = l.cause_seq
left join owners as o on o.owner_id = l.bucket_id
left join assets as a on a.market_id = l.market_id
