-- withdrawals: one row per account that closed its position and took out what was left.
--
-- seq         the event
-- sim_time    when
-- bucket_id   the account
-- bucket      its name
-- cohort      its cohort
-- amount_usd  how much
create or replace temp view withdrawals as
select w.seq, w.sim_time, w.bucket_id, o.name as bucket, o.cohort, w.amount_usd
from funds_withdrawn as w
left join owners as o on o.owner_id = w.bucket_id
