-- log_end: one row: the instant up to which the log tells what happened.
--
-- ends_at   the end of the run if it is sealed, else the time of the last event
-- last_seq  the last event; null if there is none
create or replace temp view log_end as
with last as (select max(seq) as seq, max(sim_time) as sim_time from events)
select case when r.status = 'sealed' then r.end_at else coalesce(l.sim_time, r.start_at) end
        as ends_at,
    l.seq as last_seq
from runs as r
cross join last as l
