-- decisions: one row per decision of a mitigation that made a difference.
--
-- seq                the event
-- sim_time           when
-- mitigation_id      place of the mitigation in the scenario, from 0
-- mitigation         its name, or its kind
-- kind               its kind
-- action             what it did
-- market             name of the market; null for all of them
-- bucket_id          the account; null for all of them
-- bucket             its name
-- cohort             its cohort
-- wanted             units that the next slice would have had, or what is left of one
-- used_usd           put up, or paid, already in the span that the decision falls in
-- size               units that the slice may have, or what is taken over of it
-- amount_usd         what the slice may be worth at the mark when it is put up, or what may be paid
-- until_at           not before this; where margin rates are widened, until then
-- waits_us           from the decision until then; null where it has nobody wait
-- depth              units that the venue's own book would take, within the distance or the slippage
-- forced_usd         forced flow of the market over the window of the rule
-- traded_usd         what was traded in the book of the market over it
-- level_number       level of the breaker, from 1
-- seen_market        name of the market that was observed
-- fall               fall of its mark from the highest of the window, as a share of that
-- rise               rise of its mark from the lowest of the window, as a share of that
-- volatility         annual volatility of its mark, realised or weighted, as the page of the kind says
-- drawdown           fall of the fund from its highest balance, as a share of that
-- divergence         distance of its book's market price from the oracle's, as a share of that
-- ended_at           when the halt, the outage or the old mark that a grace follows had ended
-- open_interest_usd  units that owners are long in the market, at the mark; inverse contracts are dollars
-- index              external index
-- multiplier         multiple of margin rates at the start, of the haircut on coins, or of a fee, that
--                    it has come to
-- from_at            the multiple holds from then on
-- wanted_usd         what would have been paid
-- paid_usd           paid already for the same slice
-- concentration      share of the largest positions of accounts in the market's open interest
-- imbalance          bought less sold in the book of the market over the window, as a share of both
-- depth_usd          what the book would take within the distance, on the thinner side, at the mark
-- ladder_usd         what would be due if the mark moved by the distance, to the worse side
-- risk               chance of a cascade that a model finds in all this
-- book_price         average price at which the venue's own book would take what is left of the slice;
--                    null where it would not take all of it
-- correlation        correlation of its mark with the other markets', zero if it is negative
create or replace temp view decisions as
select d.seq, d.sim_time, d.mitigation_id, m.name as mitigation, m.kind, d.action,
    a.name as market, d.bucket_id, o.name as bucket, o.cohort, d.wanted, d.used_usd, d.size,
    d.amount_usd, d.until_at,
    case when d.action <> 'widened' then epoch_us(d.until_at) - epoch_us(d.sim_time) end
        as waits_us,
    d.depth, d.forced_usd, d.traded_usd,
    d.level_number, s.name as seen_market, d.fall, d.rise, d.volatility, d.drawdown,
    d.divergence, d.ended_at,
    d.open_interest_usd, d.index, d.multiplier, d.from_at,
    d.wanted_usd, d.paid_usd, d.concentration, d.imbalance, d.depth_usd, d.ladder_usd, d.risk,
    d.book_price, d.correlation
from decision_recorded as d
left join mitigations as m on m.mitigation_id = d.mitigation_id
left join owners as o on o.owner_id = d.bucket_id
left join assets as a on a.market_id = d.market_id
left join assets as s on s.market_id = d.seen_market_id
