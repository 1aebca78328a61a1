-- capital_accounts: one row per owner with capital of its own: makers, fund, treasury, keepers,
--                   the desk, backers, stakers, vaults, pools, bidders.
--
-- owner_id             the owner
-- owner                its name
-- kind                 makers, fund, treasury, keeper, desk, backer, staker, vault, pool or bidder
-- deposits_usd         what it was given from outside
-- contributions_usd    what backers paid it; negative is what it paid as a backer
-- carried_in_usd       value of the positions with which the run began, at the reference price,
--                      less what they cost: what the makers had made of them before
-- equity_usd           its cash and units after the last event, as in capital_curves
-- profit_usd           equity less deposits, contributions and what it carried in
-- lowest_equity_usd    lowest equity from the opening on
-- lowest_equity_at     first instant at which it stood
-- highest_equity_usd   highest equity from the opening on
-- highest_equity_at    first instant at which it stood
-- drawdown_usd         largest fall of its profit from a height before; deposits and contributions
--                      are none
-- drawdown_share       largest such fall as a share of what its equity would be without it; null
--                      where that never was above zero
-- drawdown_at          first instant at which drawdown_usd stood
-- capital_usd          capital employed. Of fund, keepers, desk, backers, stakers, vaults, pools and bidders: what they were given, by
--                      deposits and by backers. Of the makers: the most they needed at once: what
--                      they held, long or short, or their debt in cash, whichever is larger. Null
--                      for the treasury
-- return_on_capital    profit_usd / capital_usd; null without capital
create or replace temp view capital_accounts as
with falls as (
    select *,
        (max(profit_usd) over (partition by owner_id order by seq) - profit_usd)::decimal(38, 16)
            as fall_usd
    from capital_curves
),
curves as (
    select owner_id, arg_max(equity_usd, seq) as equity_usd, arg_max(profit_usd, seq) as profit_usd,
        arg_min(equity_usd, seq) as opening_usd,
        min(equity_usd) as lowest_usd, max(equity_usd) as highest_usd, max(fall_usd) as fall_usd,
        arg_min(sim_time, (equity_usd, seq)) as lowest_at,
        arg_min(sim_time, (-equity_usd, seq)) as highest_at,
        arg_min(sim_time, (-fall_usd, seq)) as fall_at,
        max(case when equity_usd + fall_usd > 0
            then fall_usd::double / (equity_usd + fall_usd)::double end) as fall_share,
        max(greatest(gross_usd, (-cash_usd)::decimal(38, 16))) as needed_usd
    from falls
    group by owner_id
),
given as (
    select owner_id, sum(amount_usd)::decimal(38, 16) as amount_usd,
        sum(case when d.sim_time = r.start_at then amount_usd else 0 end)::decimal(38, 16)
            as at_start_usd
    from funds_deposited as d
    cross join runs as r
    group by owner_id
),
paid as (
    select owner_id, sum(amount_usd)::decimal(38, 16) as amount_usd,
        sum(greatest(amount_usd, 0))::decimal(38, 16) as received_usd
    from (
        select 2 as owner_id, amount_usd from contribution_paid
        union all
        select backer_id, -amount_usd from contribution_paid
    )
    group by owner_id
),
accounts as (
    select o.owner_id, o.name, o.kind, c.*, coalesce(g.amount_usd, 0) as deposits_usd,
        coalesce(p.amount_usd, 0) as contributions_usd,
        coalesce(c.opening_usd - coalesce(g.at_start_usd, 0), 0) as carried_in_usd,
        case o.kind when 'makers' then c.needed_usd when 'treasury' then null
            else coalesce(g.amount_usd, 0) + coalesce(p.received_usd, 0) end as capital_usd
    from owners as o
    left join curves as c on c.owner_id = o.owner_id
    left join given as g on g.owner_id = o.owner_id
    left join paid as p on p.owner_id = o.owner_id
    where o.kind in ('makers', 'fund', 'treasury', 'keeper', 'desk', 'backer', 'staker', 'vault', 'pool', 'bidder')
)
select owner_id, name as owner, kind, deposits_usd::decimal(38, 6) as deposits_usd,
    contributions_usd::decimal(38, 6) as contributions_usd,
    carried_in_usd::decimal(38, 16) as carried_in_usd,
    coalesce(equity_usd, 0)::decimal(38, 16) as equity_usd,
    coalesce(profit_usd, 0)::decimal(38, 16) as profit_usd,
    coalesce(lowest_usd, 0)::decimal(38, 16) as lowest_equity_usd, lowest_at as lowest_equity_at,
    coalesce(highest_usd, 0)::decimal(38, 16) as highest_equity_usd,
    highest_at as highest_equity_at, coalesce(fall_usd, 0)::decimal(38, 16) as drawdown_usd,
    fall_share as drawdown_share, fall_at as drawdown_at,
    capital_usd::decimal(38, 16) as capital_usd,
    profit_usd::double / nullif(capital_usd, 0)::double as return_on_capital
from accounts
