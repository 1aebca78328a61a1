-- shadow_crossings: one row per time that balances became due at the shadow marks.
--
-- seq                the event
-- sim_time           when
-- bucket_id          the account
-- bucket             its name
-- cohort             its cohort
-- market             name of the market whose shadow mark did it
-- kind               liquidated (it was liquidated afterwards with these balances), accelerated (it
--                    had been before) or averted (it was not)
-- liquidation_seq    that liquidation (the trigger); null if it was averted
-- shadow_mark        shadow mark of the market
-- shadow_margin_usd  margin of the balances at the shadow marks
create or replace temp view shadow_crossings as
with live as (select * from shadow_crossed where liquidation_seq is null),
moves as (
    select owner_id, seq from postings
    where amount <> 0 and owner_id in (select bucket_id from live)
),
triggered as (
    select l.seq, t.seq as liquidation_seq
    from live as l
    asof left join liquidation_triggered as t on t.bucket_id = l.bucket_id and t.seq > l.seq
),
moved as (
    select l.seq, m.seq as moved_seq
    from live as l
    asof left join moves as m on m.owner_id = l.bucket_id and m.seq > l.seq
),
followed as (
    select t.seq, t.liquidation_seq
    from triggered as t
    join moved as m on m.seq = t.seq
    where t.liquidation_seq < coalesce(m.moved_seq, t.liquidation_seq + 1)
)
select c.seq, c.sim_time, c.bucket_id, o.name as bucket, o.cohort, a.name as market,
    case when c.liquidation_seq is not null then 'accelerated'
        when f.liquidation_seq is not null then 'liquidated' else 'averted' end as kind,
    coalesce(c.liquidation_seq, f.liquidation_seq) as liquidation_seq, c.shadow_mark,
    c.shadow_margin_usd
from shadow_crossed as c
left join followed as f on f.seq = c.seq
left join owners as o on o.owner_id = c.bucket_id
left join assets as a on a.market_id = c.market_id
