-- marks: one row per event that gave a market a mark price.
--
-- seq          the event
-- sim_time     from when
-- market_id    which market
-- feed         what landed: an update of the oracle, or a sample of the venue's own book
-- price        the mark price from then on
-- shadow_mark  the shadow mark from then on
-- basis        which part of the mark rule decided: index, blend, guarded, model, book, banded or
--              clamped
-- shows_at     just before this the displacement stood that the mark shows
create or replace temp view marks as
select seq, sim_time, market_id, 'oracle' as feed, mark_price as price, shadow_mark, basis,
    mark_shows_at as shows_at
from oracle_updated
union all
select seq, sim_time, market_id, 'book', mark_price, shadow_mark, basis, mark_shows_at
from book_sampled
