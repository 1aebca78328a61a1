-- entry_prices: one row per entry price that a position was given, when it was opened, when its
--     account traded, or when its profit was cut.
--
-- seq          the event
-- bucket_id    the account
-- market_id    the market
-- entry_price  entry price from that event on; 0 once the account has closed the position itself
create or replace temp view entry_prices as
select seq, bucket_id, market_id, price as entry_price from position_opened
union all
select seq, payer_id, market_id, entry_price from profit_cut
union all
select seq, bucket_id, market_id, entry_price from trade_filled
