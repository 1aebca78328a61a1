-- account_life: the life of every account: what happened to it, and where it stood after that.
--
-- account_id          the account, as an owner
-- account             its name
-- cohort              its cohort
-- seq                 the event; in its order an account's rows are its life
-- sim_time            when
-- what                deposit, coin deposit, coins settled (with the makers), opening, trade (of its own will), withdrawal, trigger, tranche, fill,
--                     takeover, closed against (its own slice, against a deleveraged account),
--                     deleveraged (itself, for a bankrupt account), surplus, fund draw, funding,
--                     hole paid (its own, by another account), hole indexed (put on the funding
--                     index), haircut or socialised (for another's hole), bad debt, settled, end, unresolved or shadow crossing (its
--                     balances became due at the shadow marks)
-- market              name of the market; null for a deposit of USD or a withdrawal
-- quantity            units it received; negative is given
-- price               price of the trade; null without one
-- cash_change_usd     USD it received, fees taken off; negative is paid
-- fee_usd             fee it paid, if there can be one
-- position_after      its position in that market afterwards; of a deposit, the only one, if it
--                     is ever in one market alone, else null
-- cash_after_usd      its cash afterwards
-- coins_after         its coins afterwards, of the market of position_after
-- mark_price          mark price of the market of position_after; null before the first
-- equity_usd          cash plus every position and its coins at the mark price, exact; null while one of them
--                     has no mark price
-- margin_usd          margin that the event recorded; null but at a trigger
-- cause_seq           the event that brought it about
-- note                the rest, in words
create or replace temp view account_life as
with standing as (
    select account_id, seq, count(*) = count(value_usd) as is_marked, sum(value_usd) as value_usd,
        case when count(*) = 1 then any_value(quantity)
            else max(quantity) filter (where market_id = event_market_id) end as position_after,
        case when count(*) = 1 then any_value(mark_price)
            else max(mark_price) filter (where market_id = event_market_id) end as mark_price,
        case when count(*) = 1 then any_value(coins)
            else max(coins) filter (where market_id = event_market_id) end as coins_after
    from account_positions
    group by account_id, seq
),
lives as (
    select *,
        coalesce(
            sum(cash_change_usd) over (partition by account_id order by seq), 0
        )::decimal(18, 6) as cash_after_usd
    from account_events
)
select l.account_id, o.name as account, o.cohort, l.seq, l.sim_time, l.what, a.name as market,
    l.quantity, l.price, l.cash_change_usd, l.fee_usd, s.position_after, l.cash_after_usd, s.coins_after,
    s.mark_price,
    case when coalesce(s.is_marked, true)
        then l.cash_after_usd::decimal(38, 16) + coalesce(s.value_usd, 0) end::decimal(38, 16)
        as equity_usd,
    l.margin_usd, l.cause_seq, l.note
from lives as l
join owners as o on o.owner_id = l.account_id
left join assets as a on a.market_id = l.market_id
left join standing as s on s.account_id = l.account_id and s.seq = l.seq
