-- premiums: one row per mark price: the index, the price of the venue's own book, and what the mark
--     rule made of them.
--
-- seq               the event
-- sim_time          from when
-- market            name of the market
-- feed              what landed: an update of the oracle, or a sample of the venue's own book
-- index_price       the oracle's price then; null before the first update
-- book_price        the book's price as last sampled; null without a sample
-- premium           book_price / index_price - 1; null without either
-- smoothed_premium  the premium that a model mark uses; null where no sample landed
-- mark_price        the mark price from then on
-- mark_premium      mark_price / index_price - 1; null without an index
-- basis             which part of the mark rule decided
-- shadow_mark       the shadow mark from then on
create or replace temp view premiums as
with stated as (
    select seq, sim_time, market_id, 'oracle' as feed, price as index_price,
        nullif(book_price, 0) as book_price, null::decimal(18, 9) as smoothed_premium, mark_price,
        basis, shadow_mark
    from oracle_updated
    union all
    select seq, sim_time, market_id, 'book', nullif(index_price, 0), price, premium, mark_price,
        basis, shadow_mark
    from book_sampled
)
select s.seq, s.sim_time, a.name as market, s.feed, s.index_price, s.book_price,
    s.book_price::double / s.index_price::double - 1 as premium, s.smoothed_premium, s.mark_price,
    s.mark_price::double / s.index_price::double - 1 as mark_premium, s.basis, s.shadow_mark
from stated as s
left join assets as a on a.market_id = s.market_id
