-- account_positions: one row per account, event about it, and market it was ever in.
--
-- account_id       the account, as an owner
-- seq              the event
-- event_market_id  market of the event; null for a deposit
-- market_id        the market of this row
-- quantity         its position in that market right after the event
-- coins            coins of that market that it had then
-- mark_price       mark price then; null before the first
-- value_usd        (quantity + coins) x mark price, exact; null without a mark price, zero without
--                  either
create or replace temp view account_positions as
with marked as (
    -- Every market at first: a join that looks small would have the planner try every mark price.
    select e.account_id, e.seq, e.market_id as event_market_id, a.market_id,
        u.price as mark_price
    from account_events as e
    cross join assets as a
    asof left join marks as u on u.market_id = a.market_id and e.seq >= u.seq
    where a.kind = 'contract'
),
legs as (
    select distinct owner_id as account_id, asset_id - 1 as market_id from unit_postings
),
coin_moves as (
    select owner_id as account_id, seq, -asset_id - 1 as market_id, sum(amount) as amount
    from coin_postings group by owner_id, seq, asset_id
),
moves as (
    select owner_id as account_id, seq, asset_id - 1 as market_id, sum(amount) as amount
    from unit_postings group by owner_id, seq, asset_id
),
held as (
    select k.account_id, k.seq, k.event_market_id, k.market_id, k.mark_price,
        coalesce(
            sum(m.amount) over (partition by k.account_id, k.market_id order by k.seq), 0
        )::decimal(18, 8) as quantity,
        coalesce(
            sum(c.amount) over (partition by k.account_id, k.market_id order by k.seq), 0
        )::decimal(18, 8) as coins
    from marked as k
    semi join legs as l on l.account_id = k.account_id and l.market_id = k.market_id
    left join moves as m
        on m.account_id = k.account_id and m.seq = k.seq and m.market_id = k.market_id
    left join coin_moves as c
        on c.account_id = k.account_id and c.seq = k.seq and c.market_id = k.market_id
)
select account_id, seq, event_market_id, market_id, quantity, coins, mark_price,
    case when quantity = 0 and coins = 0 then 0
        else (quantity + coins)::decimal(38, 8) * mark_price end::decimal(38, 16) as value_usd
from held
