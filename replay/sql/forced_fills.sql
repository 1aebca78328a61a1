-- forced_fills: one row per fill in a book that a liquidation brought about; steps by which a
--               mitigation reduces positions are of no liquidation, and in view reductions.
--
-- seq              the event: order_filled, or inventory_sold by a keeper who sells on
-- sim_time         when
-- market_id        which market
-- liquidation_seq  its liquidation (the trigger); of a resale, that of the takeover from which most
--                  of it comes, where what has been held longest is sold first
-- quantity         what was filled; negative sells
create or replace temp view forced_fills as
with tranches as (select seq, liquidation_seq from tranche_started),
held as (
    select seq, keeper_id, market_id, -quantity as change from tranche_taken_over
    union all
    select seq, keeper_id, market_id, quantity from inventory_sold
),
sources as (
    select unnest(list(seq order by seq)) as seq,
        unnest(sources_of(
            list(seq order by seq),
            list((change::decimal(28, 8) * 100000000)::bigint order by seq)
        )) as source_seq
    from held
    group by keeper_id, market_id
)
select f.seq, f.sim_time, f.market_id, t.liquidation_seq, f.quantity
from order_filled as f
left join tranches as t on t.seq = f.tranche_seq
union all
select s.seq, s.sim_time, s.market_id, t.liquidation_seq, s.quantity
from inventory_sold as s
left join sources as c on c.seq = s.seq
left join tranche_taken_over as k on k.seq = c.source_seq
left join tranches as t on t.seq = k.tranche_seq
