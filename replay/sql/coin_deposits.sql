-- coin_deposits: one row per deposit of coins as collateral of an account.
--
-- seq         the event
-- sim_time    when
-- account_id  the account, as an owner
-- account     its name
-- cohort      its cohort
-- market      name of the market whose coin it is
-- quantity    how many coins
create or replace temp view coin_deposits as
select d.seq, d.sim_time, d.bucket_id as account_id, o.name as account, o.cohort, a.name as market,
    d.quantity
from coins_deposited as d
left join owners as o on o.owner_id = d.bucket_id
left join assets as a on a.market_id = d.market_id
