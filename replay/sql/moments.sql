-- moments: two rows: the start, right after everybody has opened, and the end of the log.
--
-- moment   start or end
-- upto     last event that counts
-- instant  the instant
create or replace temp view moments as
select 'start' as moment, coalesce(max(seq), -1) as upto, any_value(r.start_at) as instant
from runs as r
left join (
    select seq, sim_time from position_opened union all select seq, sim_time from funds_deposited
) as o on o.sim_time = r.start_at
union all
select 'end', coalesce(last_seq, -1), ends_at from log_end
