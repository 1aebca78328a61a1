-- coin_settlements: one row per exchange of an account with the makers that settled an execution in
--                   coins.
--
-- seq          the event
-- sim_time     when
-- tranche_seq  the tranche of the execution
-- account_id   the account, as an owner
-- account      its name
-- market       name of the market
-- units        contract units that it received; negative is given
-- coins        coins that it received; negative is given
-- price        price of the execution, at which coins and USD were exchanged
-- amount_usd   USD that it received; negative is paid
create or replace temp view coin_settlements as
select s.seq, s.sim_time, s.tranche_seq, s.account_id, o.name as account, a.name as market, s.units,
    s.coins, s.price, s.amount_usd
from coins_settled as s
left join owners as o on o.owner_id = s.account_id
left join assets as a on a.market_id = s.market_id
