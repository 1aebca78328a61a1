-- keepers: one row per keeper and market; sum over markets for a keeper's whole account.
--
-- keeper_id         the keeper
-- keeper            its name
-- market            name of the market
-- won               calls that took a tranche over
-- lost              calls that were sent and failed, for one of the reasons that follow
-- lost_race         somebody else was first
-- lost_restored     the margin was restored by then
-- lost_beyond_limit the discounted mark had passed the tranche's limit
-- lost_purse_short  the purse could not pay
-- lost_halted       a halt had withdrawn the offer
-- taken_over        units taken over, without sign
-- sold_on           units traded in the book, without sign
-- bought_usd        paid for units bought, from buckets and in the book
-- sold_usd          received for units sold
-- call_costs_usd    paid for calls
-- incentives_usd    shares of penalties and rewards that it received
-- inventory         units left
-- last_price        price the inventory is valued at: the market price at the end of the run; if
--                   the run did not end, the mark price or the market price after a fill,
--                   whichever the log stated last
-- profit_usd        sold - bought - call costs + incentives + inventory x last price, exact
create or replace temp view keepers as
with takeovers as (
    select keeper_id, market_id, count(*) as won, sum(abs(quantity)) as taken_over,
        sum(call_cost_usd) as call_costs_usd
    from tranche_taken_over
    group by keeper_id, market_id
),
failures as (
    select f.keeper_id, t.market_id, count(*) as lost,
        count(*) filter (where f.reason = 'lost_race') as lost_race,
        count(*) filter (where f.reason = 'restored') as lost_restored,
        count(*) filter (where f.reason = 'beyond_limit') as lost_beyond_limit,
        count(*) filter (where f.reason = 'purse_short') as lost_purse_short,
        count(*) filter (where f.reason = 'halted') as lost_halted,
        sum(f.call_cost_usd) as call_costs_usd
    from keeper_call_failed as f
    join tranche_started as t on t.seq = f.tranche_seq
    group by f.keeper_id, t.market_id
),
trades as (
    select keeper_id, market_id, -quantity as quantity, -cost_usd as cost_usd, false as is_resale
    from tranche_taken_over
    union all
    select keeper_id, market_id, quantity, cost_usd, true from inventory_sold
),
traded as (
    select keeper_id, market_id,
        sum(cost_usd) filter (where cost_usd > 0) as bought_usd,
        -sum(cost_usd) filter (where cost_usd < 0) as sold_usd,
        sum(abs(quantity)) filter (where is_resale) as sold_on,
        sum(quantity) as inventory
    from trades
    group by keeper_id, market_id
),
paid as (
    select p.receiver_id as keeper_id, t.market_id, sum(p.amount_usd) as incentives_usd
    from (
        select receiver_id, tranche_seq, amount_usd from penalty_routed where share = 'keeper'
        union all
        select keeper_id, tranche_seq, amount_usd from keeper_rewarded
    ) as p
    join tranche_started as t on t.seq = p.tranche_seq
    group by p.receiver_id, t.market_id
),
last_prices as (
    select market_id, arg_max(price, seq) as price from stated_prices group by market_id
)
select o.owner_id as keeper_id, o.name as keeper, a.name as market,
    coalesce(w.won, 0) as won, coalesce(f.lost, 0) as lost,
    coalesce(f.lost_race, 0) as lost_race, coalesce(f.lost_restored, 0) as lost_restored,
    coalesce(f.lost_beyond_limit, 0) as lost_beyond_limit,
    coalesce(f.lost_purse_short, 0) as lost_purse_short,
    coalesce(f.lost_halted, 0) as lost_halted,
    coalesce(w.taken_over, 0)::decimal(38, 8) as taken_over,
    coalesce(t.sold_on, 0)::decimal(38, 8) as sold_on,
    coalesce(t.bought_usd, 0)::decimal(38, 6) as bought_usd,
    coalesce(t.sold_usd, 0)::decimal(38, 6) as sold_usd,
    (coalesce(w.call_costs_usd, 0) + coalesce(f.call_costs_usd, 0))::decimal(38, 6)
        as call_costs_usd,
    coalesce(i.incentives_usd, 0)::decimal(38, 6) as incentives_usd,
    coalesce(t.inventory, 0)::decimal(38, 8) as inventory,
    p.price as last_price,
    (
        coalesce(t.sold_usd, 0) - coalesce(t.bought_usd, 0) - coalesce(w.call_costs_usd, 0)
        - coalesce(f.call_costs_usd, 0) + coalesce(i.incentives_usd, 0)
        + case when coalesce(t.inventory, 0) = 0 then 0
            else t.inventory::decimal(38, 8) * p.price end
    )::decimal(38, 16) as profit_usd
from owners as o
cross join assets as a
left join takeovers as w on w.keeper_id = o.owner_id and w.market_id = a.market_id
left join failures as f on f.keeper_id = o.owner_id and f.market_id = a.market_id
left join traded as t on t.keeper_id = o.owner_id and t.market_id = a.market_id
left join paid as i on i.keeper_id = o.owner_id and i.market_id = a.market_id
left join last_prices as p on p.market_id = a.market_id
where o.kind = 'keeper' and a.kind = 'contract'
