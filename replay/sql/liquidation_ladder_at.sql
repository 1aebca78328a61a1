-- liquidation_ladder_at: one row per market, side and per cent of price: what would become due,
--     right after event *upto*, if that market's mark moved so far while the others stand, against
--     the book as of an *instant*; and b ex ante.
--
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
create or replace temp macro liquidation_ladder_at(upto, instant) as table
with asked as materialized (select upto::bigint as last_seq, instant::timestamp as moment),
stood as materialized (
    from books_at((select last_seq from asked), (select moment from asked))
),
over_by_then as (
    select liquidation_seq from liquidation_ended where seq <= (select last_seq from asked)
),
busy as (
    select bucket_id from liquidation_triggered
    where seq <= (select last_seq from asked)
        and seq not in (select liquidation_seq from over_by_then)
),
free as (
    select owner_id from owners
    where kind = 'bucket' and owner_id not in (select bucket_id from busy)
),
cash as (
    select c.owner_id, (sum(c.amount)::decimal(24, 6) * 1000000)::hugeint as cash_uusd
    from cash_postings as c
    semi join free as f on f.owner_id = c.owner_id
    where c.seq <= (select last_seq from asked)
    group by c.owner_id
),
held as (
    select p.owner_id, p.asset_id - 1 as market_id, sum(p.amount)::decimal(26, 8) as units,
        (units * 100000000)::hugeint as units_e8
    from unit_postings as p
    semi join free as f on f.owner_id = p.owner_id
    where p.seq <= (select last_seq from asked)
    group by p.owner_id, p.asset_id
    having sum(p.amount) <> 0
),
coins as (
    select p.owner_id, -p.asset_id - 1 as market_id,
        (sum(p.amount)::decimal(26, 8) * 100000000)::hugeint as coins_e8
    from coin_postings as p
    semi join free as f on f.owner_id = p.owner_id
    where p.seq <= (select last_seq from asked)
    group by p.owner_id, p.asset_id
),
multipliers as (
    select market_id, (arg_max(multiplier, seq) * 1000000)::bigint as multiplier_e6
    from maintenance_changed
    where seq <= (select last_seq from asked)
    group by market_id
),
cuts as (
    select b.market_id,
        coalesce(
            (arg_max(c.coin_haircut, c.seq) * 1000000)::hugeint, any_value(b.coin_haircut_e6)
        ) as coin_haircut_e6
    from scenario_books as b
    left join coin_haircut_changed as c
        on c.market_id = b.market_id and c.seq <= (select last_seq from asked)
    group by b.market_id
),
entries as (
    select bucket_id as owner_id, market_id,
        (arg_max(entry_price, seq)::decimal(28, 8) * 100000000)::hugeint as entry_e8
    from entry_prices
    where seq <= (select last_seq from asked)
    group by bucket_id, market_id
),
weights as (
    -- Maintenance is the largest of weight x price less a constant: tiers by size are one such line.
    select h.owner_id, h.market_id,
        sum(t.step_e6 * greatest(abs(h.units_e8) - t.start_e8, 0))::hugeint as weight_e14,
        0::hugeint as less_e22
    from held as h
    left join multipliers as m on m.market_id = h.market_id
    join scenario_tiers as t
        on t.market_id = h.market_id and t.multiplier_e6 = coalesce(m.multiplier_e6, 1000000)
    group by h.owner_id, h.market_id
    union all
    select h.owner_id, h.market_id, t.rate_e6 * abs(h.units_e8), t.less_e22
    from held as h
    left join multipliers as m on m.market_id = h.market_id
    join scenario_books as b on b.market_id = h.market_id and not b.is_inverse
    join scenario_notional_tiers as t
        on t.market_id = h.market_id and t.multiplier_e6 = coalesce(m.multiplier_e6, 1000000)
    union all
    -- Of an inverse contract the notional, and so the maintenance, is that of the entry.
    select h.owner_id, h.market_id, 0::hugeint,
        -max(t.rate_e6 * abs(h.units_e8) * e.entry_e8 - t.less_e22)
    from held as h
    join entries as e on e.owner_id = h.owner_id and e.market_id = h.market_id
    left join multipliers as m on m.market_id = h.market_id
    join scenario_books as b on b.market_id = h.market_id and b.is_inverse
    join scenario_notional_tiers as t
        on t.market_id = h.market_id and t.multiplier_e6 = coalesce(m.multiplier_e6, 1000000)
    group by h.owner_id, h.market_id
),
haircuts as (
    -- Profit counts in part: with the share that does not taken off its line, and as if none were.
    select market_id, unnest([0::hugeint, unrealised_haircut_e6]) as haircut_e6
    from scenario_books where unrealised_haircut_e6 > 0
    union all
    select market_id, 0 from scenario_books where unrealised_haircut_e6 = 0
),
pieces as (
    -- What a leg adds to the margin is the least of lines in its price, in 1e-22 USD.
    select h.owner_id, h.market_id,
        (s.mark_price::decimal(28, 8) * 100000000)::hugeint as price_e8,
        case when b.is_inverse  -- What an order to close it is for, rounded up.
            then sign(h.units)
                * ((abs(h.units_e8) * e.entry_e8 + price_e8 - 1) // price_e8)::decimal(18, 0)
                * 0.00000001::decimal(9, 8)
            else h.units end::decimal(26, 8) as units,
        (h.units_e8 * (1000000 - c.haircut_e6) - w.weight_e14
            + coalesce(k.coins_e8, 0) * (1000000 - f.coin_haircut_e6)) * price_e8 as slope_e22,
        slope_e22 + w.less_e22 + c.haircut_e6 * h.units_e8 * e.entry_e8 as line_e22
    from held as h
    join weights as w on w.owner_id = h.owner_id and w.market_id = h.market_id
    join entries as e on e.owner_id = h.owner_id and e.market_id = h.market_id
    join haircuts as c on c.market_id = h.market_id
    join stood as s on s.market_id = h.market_id
    join scenario_books as b on b.market_id = h.market_id
    join cuts as f on f.market_id = h.market_id
    left join coins as k on k.owner_id = h.owner_id and k.market_id = h.market_id
),
legs as (
    select owner_id, market_id, min(line_e22) as share_e22
    from pieces group by owner_id, market_id
),
margins as (
    select l.owner_id,
        (sum(l.share_e22) + any_value(c.cash_uusd) * 10000000000000000)::hugeint as margin_e22
    from legs as l
    join cash as c on c.owner_id = l.owner_id
    group by l.owner_id
),
reached as (
    -- The first whole per cent at which the margin is below zero, or at zero if that is due: of the
    -- lines on which it may be there, the first.
    select p.market_id, p.owner_id, any_value(p.units) as units,
        min(case when m.margin_e22 < 0 or (m.margin_e22 = 0 and b.due_at_zero) then 0
            when b.due_at_zero
                then ((m.margin_e22 - l.share_e22 + p.line_e22) * 100 + abs(p.slope_e22) - 1)
                    // abs(p.slope_e22)
            else (m.margin_e22 - l.share_e22 + p.line_e22) * 100 // abs(p.slope_e22) + 1
            end) as step
    from pieces as p
    join legs as l on l.owner_id = p.owner_id and l.market_id = p.market_id
    join margins as m on m.owner_id = p.owner_id
    join scenario_books as b on b.market_id = p.market_id
    -- Coins may outweigh a short: it is then due as the price falls, which is no step of its side.
    where p.slope_e22 <> 0 and (
        sign(p.slope_e22) = sign(p.units)
        or m.margin_e22 < 0 or (m.margin_e22 = 0 and b.due_at_zero)
    )
    group by p.market_id, p.owner_id
),
sums as (
    select market_id, sign(-units) as sign, step, count(*) as accounts, sum(abs(units)) as units
    from reached where step <= 30 group by all
),
grid as (
    select s.market_id, s.market, d.side, d.sign, k.step, s.mark_price, s.has_impact, s.book,
        coalesce(t.accounts, 0) as accounts, coalesce(t.units, 0)::decimal(38, 8) as units,
        abs(ln(1 + d.sign * k.step * 0.01)) as distance,
        distance - lag(distance) over (partition by s.market_id, d.side order by k.step) as width
    from stood as s
    cross join (values ('long', -1), ('short', 1)) as d(side, sign)
    cross join (select unnest(range(31))::integer as step) as k
    left join sums as t on t.market_id = s.market_id and t.sign = d.sign and t.step = k.step
),
told as (
    select *, (sum(units) over upwards)::decimal(38, 8) as units_within,
        case when has_impact then book_depth(market_id, sign, distance, book) end as depth,
        units::double / width as density,
        book_impact(market_id, sign, units::double, book) as impact
    from grid
    window upwards as (partition by market_id, side order by step rows unbounded preceding)
)
select market, side, step,
    (mark_price::decimal(28, 8) * (1 + sign * step * 0.01)::decimal(4, 2))::decimal(38, 10)
        as price,
    accounts, units, units * mark_price as due_usd, units_within,
    units_within * mark_price as due_within_usd, depth, depth * mark_price::double as depth_usd,
    density, impact, case when units = 0 and step > 0 then 0 else impact * density end as b
from told
