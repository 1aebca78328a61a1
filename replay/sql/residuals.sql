-- residuals: one row per forced fill, and per mark that triggered a liquidation: what was left, just
--     before the fill or the instant that the mark shows, of the fills before.
--
-- seq              the fill or the mark
-- market_id        which market
-- is_fill          whether it is a fill
-- consumed         volume that fills before it consumed and that has not refilled, signed; zero
--                  once it has died out, and in a market without impact
-- newest_fill_seq  the newest forced fill before it in that market; null without one
-- run_seq          first fill of its run: of the fills of a market that each met something left of
--                  those before
create or replace temp view residuals as
with lines as (
    -- At one instant a mark shows what was before the fills, and depth changes come first.
    select market_id, epoch_us(sim_time) as at_us, 1 as turn, seq, true as is_fill,
        (quantity::decimal(28, 8) * 100000000)::bigint as quantity_e8, 0 as multiplier_e6, 0 as half_life_us
    from forced_fills
    union all
    select market_id, epoch_us(sim_time), 1, seq, null, 0,
        (multiplier::decimal(28, 6) * 1000000)::bigint, half_life_us
    from depth_changed
    union all
    select market_id, epoch_us(shows_at), 0, seq, false, 0, 0, 0
    from marks
    where seq in (select cause_seq from liquidation_triggered)
),
first as (select epoch_us(start_at) as at_us from runs),
sorted as (
    select l.*, l.at_us - f.at_us as since_us
    from lines as l cross join first as f
),
walked as (
    select market_id,
        unnest(list(seq order by at_us, turn, seq)) as seq,
        unnest(list(is_fill order by at_us, turn, seq)) as is_fill,
        generate_subscripts(list(seq), 1) as place,
        unnest(residual_path(market_id,
            list(since_us order by at_us, turn, seq),
            list(quantity_e8 order by at_us, turn, seq),
            list(multiplier_e6 order by at_us, turn, seq),
            list(half_life_us order by at_us, turn, seq)
        )) as consumed_e8
    from sorted
    group by market_id
)
select seq, market_id, is_fill, consumed_e8 / 1e8 as consumed,
    max(seq) filter (where is_fill) over before as newest_fill_seq,
    max(seq) filter (where is_fill and consumed_e8 = 0) over upto as run_seq
from walked
where is_fill is not null
window before as (
    partition by market_id order by place rows between unbounded preceding and 1 preceding
), upto as (partition by market_id order by place rows unbounded preceding)
