-- loss_payers: who paid what a liquidation lost against its bankruptcy price, and who had what it
--              gained; per liquidation they sum to loss_usd of execution_losses, exactly.
--
-- liquidation_seq  the liquidation (the trigger)
-- payer            collateral (the account's own), fund, slashed, haircut, socialised, or nobody (bad debt);
--                  surplus_to_fund and surplus_to_account are what was gained, and negative
-- owner_id         who; null for nobody
-- owner            its name
-- amount_usd       how much, exact
create or replace temp view loss_payers as
with bankrupt_at as (
    select distinct liquidation_seq, market_id, bankruptcy_price from execution_losses
),
spans as (
    select t.seq, t.bucket_id, coalesce(e.seq, z.last_seq) as end_seq
    from liquidation_triggered as t
    cross join log_end as z
    left join liquidation_ended as e on e.liquidation_seq = t.seq
),
posted as (
    select s.seq, p.asset_id, sum(p.amount) as amount
    from spans as s
    join postings as p on p.owner_id = s.bucket_id and p.seq between s.seq and s.end_seq
    -- Funding is the price of a position, not of its liquidation.
    anti join funding_paid as f on f.seq = p.seq
    -- What an account adds while a halt holds its liquidation back is still its own.
    anti join funds_deposited as g on g.seq = p.seq
    group by s.seq, p.asset_id
),
worth as (
    -- What the account had at its bankruptcy prices and has no more; its debt counts as nobody's.
    select p.seq as liquidation_seq,
        -sum(
            case when p.asset_id = 0 then p.amount::decimal(38, 16)
                else p.amount::decimal(18, 8)::decimal(38, 8) * b.bankruptcy_price end
        )::decimal(38, 16) as amount_usd
    from posted as p
    left join bankrupt_at as b
        on b.liquidation_seq = p.seq and b.market_id = abs(p.asset_id) - 1
    group by p.seq
),
debts as (
    select liquidation_seq, sum(amount_usd)::decimal(38, 16) as amount_usd
    from bad_debt
    group by liquidation_seq
),
own as (
    select w.liquidation_seq, t.bucket_id,
        w.amount_usd - coalesce(d.amount_usd, 0::decimal(38, 16)) as amount_usd
    from worth as w
    join liquidation_triggered as t on t.seq = w.liquidation_seq
    left join debts as d on d.liquidation_seq = w.liquidation_seq
),
payments as (
    select liquidation_seq,
        case when amount_usd > 0 then 'collateral' else 'surplus_to_account' end as payer,
        bucket_id as owner_id, amount_usd
    from own
    where amount_usd <> 0
    union all
    select t.liquidation_seq, 'fund', 2, sum(f.amount_usd)::decimal(38, 16)
    from fund_drawn as f
    join tranche_started as t on t.seq = f.tranche_seq
    group by t.liquidation_seq
    union all
    select t.liquidation_seq, 'surplus_to_fund', 2, (-sum(s.amount_usd))::decimal(38, 16)
    from (
        select tranche_seq, amount_usd from surplus_routed
        union all
        select tranche_seq, residue_usd from funding_index_moved where residue_usd > 0
    ) as s
    join tranche_started as t on t.seq = s.tranche_seq
    group by t.liquidation_seq
    union all
    select t.liquidation_seq, s.layer, s.payer_id, sum(s.amount_usd)::decimal(38, 16)
    from loss_shares as s
    join tranche_started as t on t.seq = s.tranche_seq
    group by t.liquidation_seq, s.layer, s.payer_id
    union all
    select liquidation_seq, 'nobody', null, amount_usd from debts
)
select p.liquidation_seq, p.payer, p.owner_id, o.name as owner,
    p.amount_usd::decimal(38, 16) as amount_usd
from payments as p
left join owners as o on o.owner_id = p.owner_id
