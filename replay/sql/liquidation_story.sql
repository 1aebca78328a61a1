-- liquidation_story: one row per liquidation: why, at what prices, what was lost to what, who paid.
--
-- liquidation_seq         the trigger
-- triggered_at            when
-- bucket_id               the account
-- bucket                  its name
-- cohort                  its cohort
-- market                  name of the market
-- side                    long or short
-- quantity                position at the trigger
-- class                   first_order, accelerated, induced or rule_induced
-- mark_price              mark price at the trigger
-- shadow_mark             shadow mark at the trigger
-- crossed_at              when the balances of the trigger were first due at the shadow marks; null
--                         if they never were
-- bankruptcy_price        price at which equity was zero at the trigger
-- closed                  units executed by any route, without sign; of a bucket that lost legs in
--                         several markets null, like whatever is per unit
-- fill_price              what it paid per unit, rounded to 1e-8; null without executions
-- cushion_usd             bankruptcy less shadow crossing: negative is what it still had there
-- displacement_usd        shadow crossing less mark at the trigger
-- delay_usd               mark at the trigger less landing price
-- slippage_usd            landing price less fill
-- fee_usd                 fees
-- loss_usd                the five together: loss against the bankruptcy price, exact; positive is
--                         a cost to the account
-- cushion_per_unit        cushion_usd / closed, rounded to 1e-8, as are the next five
-- displacement_per_unit   likewise
-- delay_per_unit          likewise
-- slippage_per_unit       likewise
-- fee_per_unit            likewise
-- loss_per_unit           likewise
-- collateral_usd          paid out of what the account had beyond the bankruptcy price
-- fund_usd                paid by the fund
-- slashed_usd             paid out of stakes
-- haircut_usd             paid by cuts of winners' profits
-- socialised_usd          paid by solvent accounts in shares
-- nobody_usd              bad debt
-- surplus_to_fund_usd     what the fund gained, negative
-- surplus_to_account_usd  what the account kept beyond the bankruptcy price, negative; the eight sum
--                         to loss_usd
-- ended_at                when it ended; null if it did not
-- outcome                 closed or restored; null if it did not end
-- is_solvent_at_end       whether the account, untouched, would have been solvent at the reference
--                         prices of the end; null while the log is not sealed
create or replace temp view liquidation_story as
with lost as (
    select liquidation_seq, count(distinct market_id) as markets,
        sum(abs(quantity)) filter (where route <> 'converted') as closed,
        sum(cushion_usd) as cushion_usd, sum(displacement_usd) as displacement_usd,
        sum(delay_usd) as delay_usd, sum(slippage_usd) as slippage_usd, sum(fee_usd) as fee_usd,
        sum(loss_usd) as loss_usd
    from execution_losses
    group by liquidation_seq
),
bought as (
    select liquidation_seq, sum(cost_usd)::double / sum(quantity)::double as fill_price
    from executions
    group by liquidation_seq
),
paid as (
    select liquidation_seq, sum(amount_usd) filter (where payer = 'collateral') as collateral_usd,
        sum(amount_usd) filter (where payer = 'fund') as fund_usd,
        sum(amount_usd) filter (where payer = 'slashed') as slashed_usd,
        sum(amount_usd) filter (where payer = 'haircut') as haircut_usd,
        sum(amount_usd) filter (where payer = 'socialised') as socialised_usd,
        sum(amount_usd) filter (where payer = 'nobody') as nobody_usd,
        sum(amount_usd) filter (where payer = 'surplus_to_fund') as surplus_to_fund_usd,
        sum(amount_usd) filter (where payer = 'surplus_to_account') as surplus_to_account_usd
    from loss_payers
    group by liquidation_seq
),
single as (
    select x.liquidation_seq, x.closed, b.fill_price::decimal(18, 8) as fill_price
    from lost as x
    join bought as b on b.liquidation_seq = x.liquidation_seq
    where x.markets = 1
)
select l.liquidation_seq, l.triggered_at, l.bucket_id, l.bucket, l.cohort, l.market, l.side,
    l.quantity, k.class, l.mark_price, k.shadow_mark, k.crossed_at, l.bankruptcy_price,
    s.closed::decimal(38, 8) as closed, s.fill_price,
    coalesce(x.cushion_usd, 0)::decimal(38, 16) as cushion_usd,
    coalesce(x.displacement_usd, 0)::decimal(38, 16) as displacement_usd,
    coalesce(x.delay_usd, 0)::decimal(38, 16) as delay_usd,
    coalesce(x.slippage_usd, 0)::decimal(38, 16) as slippage_usd,
    coalesce(x.fee_usd, 0)::decimal(38, 6) as fee_usd,
    coalesce(x.loss_usd, 0)::decimal(38, 16) as loss_usd,
    (x.cushion_usd::double / s.closed::double)::decimal(18, 8) as cushion_per_unit,
    (x.displacement_usd::double / s.closed::double)::decimal(18, 8) as displacement_per_unit,
    (x.delay_usd::double / s.closed::double)::decimal(18, 8) as delay_per_unit,
    (x.slippage_usd::double / s.closed::double)::decimal(18, 8) as slippage_per_unit,
    (x.fee_usd::double / s.closed::double)::decimal(18, 8) as fee_per_unit,
    (x.loss_usd::double / s.closed::double)::decimal(18, 8) as loss_per_unit,
    coalesce(p.collateral_usd, 0)::decimal(38, 16) as collateral_usd,
    coalesce(p.fund_usd, 0)::decimal(38, 16) as fund_usd,
    coalesce(p.slashed_usd, 0)::decimal(38, 16) as slashed_usd,
    coalesce(p.haircut_usd, 0)::decimal(38, 16) as haircut_usd,
    coalesce(p.socialised_usd, 0)::decimal(38, 16) as socialised_usd,
    coalesce(p.nobody_usd, 0)::decimal(38, 16) as nobody_usd,
    coalesce(p.surplus_to_fund_usd, 0)::decimal(38, 16) as surplus_to_fund_usd,
    coalesce(p.surplus_to_account_usd, 0)::decimal(38, 16) as surplus_to_account_usd,
    l.ended_at, l.outcome, h.is_solvent_at_end
from liquidations as l
join liquidation_classes as k on k.liquidation_seq = l.liquidation_seq
left join lost as x on x.liquidation_seq = l.liquidation_seq
left join single as s on s.liquidation_seq = l.liquidation_seq
left join paid as p on p.liquidation_seq = l.liquidation_seq
left join hindsight as h on h.liquidation_seq = l.liquidation_seq
