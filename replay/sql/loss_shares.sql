-- loss_shares: one row per account that paid for another's hole.
--
-- seq          the event
-- sim_time     when
-- layer        slashed (its stake was), haircut (its profit was cut) or socialised (it paid a share of the loss)
-- tranche_seq  the tranche that closed the bankrupt position
-- bucket_id    the bankrupt bucket
-- payer_id     the bucket, or the staker, that paid
-- payer        its name
-- cohort       its cohort
-- market       name of the market
-- basis_usd    what its share rests on: stake that could be slashed, profit that could be cut, notional or equity
-- amount_usd   what it paid
create or replace temp view loss_shares as
with shares as (
    select seq, sim_time, 'haircut' as layer, tranche_seq, bucket_id, payer_id, market_id,
        basis_usd, amount_usd
    from profit_cut
    union all
    select seq, sim_time, 'socialised', tranche_seq, bucket_id, payer_id, market_id,
        basis_usd, amount_usd
    from loss_socialised
    union all
    select s.seq, s.sim_time, 'slashed', s.tranche_seq, s.bucket_id, s.staker_id, t.market_id,
        s.basis_usd, s.amount_usd
    from stake_slashed as s
    left join tranche_started as t on t.seq = s.tranche_seq
)
select s.seq, s.sim_time, s.layer, s.tranche_seq, s.bucket_id, s.payer_id, o.name as payer,
    o.cohort, a.name as market, s.basis_usd, s.amount_usd
from shares as s
left join owners as o on o.owner_id = s.payer_id
left join assets as a on a.market_id = s.market_id
