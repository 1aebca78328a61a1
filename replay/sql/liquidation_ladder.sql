-- liquidation_ladder: one row per market, side and per cent of price, at the start and at the end of
--     the log: what would become due if that market's mark moved so far while the others stand,
--     against the book; and b ex ante.
--
-- moment          start (right after everybody has opened) or end
-- market          name of the market
-- side            long (due as the price falls) or short (as it rises)
-- step            distance in per cent of the mark; 0 holds what is due at the mark as it is
-- price           the mark price so far away
-- accounts        accounts that become due between the step before and this one
-- units           their positions in the market, without sign
-- due_usd         units x the mark price as it is, exact
-- units_within    units of this step and all before
-- due_within_usd  due_usd of this step and all before
-- depth           units that would move the market price so far, or all that the book can give;
--                 null where nothing moves it
-- depth_usd       depth x the mark price as it is
-- density         units per unit of log price, between the step before and this one; null at 0
-- impact          how far an order for the units of this step, in the book as it is, would move the
--                 log price, per unit that it fills; null if it fills none
-- b               impact x density: above 1 a cascade feeds itself; zero where nothing becomes due
create or replace temp view liquidation_ladder as
select 'start' as moment, *
from liquidation_ladder_at(
    (select upto from moments where moment = 'start'),
    (select instant from moments where moment = 'start')
)
union all
select 'end', *
from liquidation_ladder_at(
    (select upto from moments where moment = 'end'),
    (select instant from moments where moment = 'end')
)
