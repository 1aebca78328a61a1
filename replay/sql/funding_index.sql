-- funding_index: one row per loss that was put on the funding index of a market.
--
-- seq          the event
-- sim_time     when
-- market       name of the market
-- side         long or short: who pays
-- units        units over which it is spread, without sign
-- loss_usd     the loss
-- charge_usd   what a unit is charged
-- index_usd    what a unit on this side has been charged by all losses so far
-- paid_usd     what accounts paid; the rest, but for rounding, is bad debt
-- residue_usd  what rounding brought beyond the loss, to the fund
-- tranche_seq  the tranche that closed the bankrupt position
-- bucket_id    the bankrupt bucket
create or replace temp view funding_index as
with paid as (
    select tranche_seq, sum(amount_usd) as amount_usd from loss_socialised group by tranche_seq
)
select i.seq, i.sim_time, a.name as market, case when i.units > 0 then 'long' else 'short' end as side,
    abs(i.units) as units, i.loss_usd, i.loss_usd::double / abs(i.units)::double as charge_usd,
    sum(i.loss_usd::double / abs(i.units)::double)
        over (partition by i.market_id, i.units > 0 order by i.seq) as index_usd,
    coalesce(p.amount_usd, 0)::decimal(38, 6) as paid_usd, i.residue_usd, i.tranche_seq, i.bucket_id
from funding_index_moved as i
left join paid as p on p.tranche_seq = i.tranche_seq
left join assets as a on a.market_id = i.market_id
