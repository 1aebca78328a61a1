-- forced_fills: one row per fill in a book that a liquidation brought about; steps by which a
--               mitigation reduces positions are of no liquidation, and in view reductions.
--
-- seq              the event: order_filled, or inventory_sold by a keeper who sells on
-- sim_time         when
-- market_id        which market
-- liquidation_seq  its liquidation (the trigger); of a resale, that of the takeover behind it
-- quantity         what was filled; negative sells
create or replace temp view forced_fills as
with tranches as (select seq, liquidation_seq from tranche_started)
select f.seq, f.sim_time, f.market_id, t.liquidation_seq, f.quantity
from order_filled as f
left join tranches as t on t.seq = f.tranche_seq
union all
select s.seq, s.sim_time, s.market_id, t.liquidation_seq, s.quantity
from inventory_sold as s
left join tranche_taken_over as k on k.seq = s.cause_seq
left join tranches as t on t.seq = k.tranche_seq
