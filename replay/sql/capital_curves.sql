-- capital_curves: what the owners with capital of their own were worth, after whatever changed it.
--
-- owner_id       the makers, the fund, the treasury, a keeper, the desk, a backer, a staker, a vault, a pool or a bidder
-- owner          its name
-- kind           makers, fund, treasury, keeper, desk, backer, staker, vault, pool or bidder
-- seq            the event: the last of those that open the run, which count as one; then each
--                that moved a balance of it, or stated another price of a market in which it had
--                units
-- sim_time       when
-- event          kind of the event; opening for the first row
-- cash_usd       its cash then
-- inventory_usd  its units and coins at the newest price of each market, exact: the mark price, or the
--                market price right after a fill, whichever the log stated last; at the opening
--                the reference price; at the end of the run the market price
-- gross_usd      the same without sign, market by market: what it holds, long or short
-- equity_usd     cash_usd + inventory_usd
-- capital_usd    what it brought: its equity at the opening, what it was given since, and what
--                backers have paid it; less what it has paid as a backer
-- profit_usd     equity_usd - capital_usd
create or replace temp view capital_curves as
with opened as (
    select coalesce(max(e.seq), -1) as seq
    from (
        select seq, sim_time from funds_deposited
        union all
        select seq, sim_time from coins_deposited
        union all
        select seq, sim_time from position_opened
    ) as e
    join runs as r on r.start_at = e.sim_time
),
capitalists as (
    select owner_id, name, kind from owners
    where kind in ('makers', 'fund', 'treasury', 'keeper', 'desk', 'backer', 'staker', 'vault', 'pool', 'bidder')
),
moves as (
    select p.owner_id, p.asset_id - 1 as market_id, greatest(p.seq, o.seq) as seq,
        sum(p.amount) as amount
    from (
        from unit_postings
        union all
        select seq, owner_id, -asset_id as asset_id, amount from coin_postings
    ) as p
    cross join opened as o
    semi join capitalists as c on c.owner_id = p.owner_id
    group by all
),
stated as (
    select p.market_id, o.seq, p.price
    from reference_prices as p
    join runs as r on r.start_at = p.sim_time
    cross join opened as o
    union all
    select market_id, seq, price from stated_prices
),
steps as (
    select owner_id, market_id, seq, sum(amount) as amount, max(price) as price
    from (
        select owner_id, market_id, seq, amount, null::decimal(18, 8) as price from moves
        union all
        select h.owner_id, h.market_id, s.seq, 0, s.price
        from (select distinct owner_id, market_id from moves) as h
        join stated as s on s.market_id = h.market_id
    )
    group by owner_id, market_id, seq
),
held as (
    select owner_id, market_id, seq, amount,
        sum(amount) over w as quantity, last_value(price ignore nulls) over w as price
    from steps
    window w as (
        partition by owner_id, market_id order by seq rows between unbounded preceding and current row
    )
),
valued as (
    select owner_id, market_id, seq, amount, quantity,
        (case when quantity = 0 then 0 else quantity::decimal(38, 8) * price end)::decimal(38, 16)
            as value_usd
    from held
),
changes as (
    -- All of one width and scale: sums of decimals that differ would be cut to fewer places.
    select owner_id, seq, 0::decimal(38, 16) as cash_usd,
        value_usd - lag(value_usd, 1, 0::decimal(38, 16)) over w as value_usd,
        abs(value_usd) - lag(abs(value_usd), 1, 0::decimal(38, 16)) over w as gross_usd,
        0::decimal(38, 16) as given_usd
    from valued
    window w as (partition by owner_id, market_id order by seq)
    qualify amount <> 0 or quantity <> 0
    union all
    select p.owner_id, greatest(p.seq, o.seq), p.amount::decimal(38, 16), 0, 0, 0
    from cash_postings as p
    cross join opened as o
    semi join capitalists as c on c.owner_id = p.owner_id
    where p.amount <> 0
    union all
    select owner_id, seq, 0, 0, 0, amount_usd::decimal(38, 16) from funds_deposited
    where seq > (select seq from opened)
    union all
    select 2, seq, 0, 0, 0, amount_usd::decimal(38, 16) from contribution_paid
    union all
    select backer_id, seq, 0, 0, 0, -amount_usd::decimal(38, 16) from contribution_paid
    union all
    select c.owner_id, o.seq, 0, 0, 0, 0
    from capitalists as c
    cross join opened as o
    where o.seq >= 0
),
sums as (
    select c.owner_id, c.seq, sum(c.cash_usd) as cash_usd, sum(c.value_usd) as value_usd,
        sum(c.gross_usd) as gross_usd,
        sum(c.given_usd)
            + sum(case when c.seq = o.seq then c.cash_usd + c.value_usd else 0 end) as given_usd
    from changes as c
    cross join opened as o
    group by c.owner_id, c.seq
),
curves as (
    select owner_id, seq, sum(cash_usd) over w as cash_usd, sum(value_usd) over w as value_usd,
        sum(gross_usd) over w as gross_usd, sum(given_usd) over w as given_usd
    from sums
    window w as (partition by owner_id order by seq)
)
select v.owner_id, c.name as owner, c.kind, v.seq, e.sim_time,
    case when v.seq = o.seq then 'opening' else e.kind end as event,
    v.cash_usd::decimal(38, 6) as cash_usd, v.value_usd::decimal(38, 16) as inventory_usd,
    v.gross_usd::decimal(38, 16) as gross_usd,
    (v.cash_usd + v.value_usd)::decimal(38, 16) as equity_usd,
    v.given_usd::decimal(38, 16) as capital_usd,
    (v.cash_usd + v.value_usd - v.given_usd)::decimal(38, 16) as profit_usd
from curves as v
cross join opened as o
join capitalists as c on c.owner_id = v.owner_id
left join events as e on e.seq = v.seq
