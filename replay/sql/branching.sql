-- branching: one row per market and side, at the start and at the end of the log: b ex ante, where it
--     is largest of the 30 per cent of price that the ladder looks at.
--
-- moment      start (right after everybody has opened) or end
-- market      name of the market
-- side        long (due as the price falls) or short (as it rises)
-- b           largest b: impact x density of what becomes due within one per cent
-- step        how far from the mark, in per cent; the nearest, if several are as large
-- price       the mark price so far away
-- units       units that become due between the step before and this one
-- impact      how far an order for them would move the log price, per unit
-- above_one   steps at which b is above 1, by more than a float errs
create or replace temp view branching as
select moment, market, side, b, step, price, units, impact,
    (count(*) filter (where b > 1 + 1e-9) over sides)::integer as above_one
from liquidation_ladder
where step > 0
window sides as (partition by moment, market, side)
qualify row_number() over (partition by moment, market, side order by b desc nulls last, step) = 1
