"""
The audit of a log: it only reads, and lists everything it finds.

It believes nothing but the rows: digests, postings, margins and bankruptcy prices are recomputed
by code that shares nothing with what wrote them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from liqsim.eventlog.reader import Columns, LogReader, entries_of, open_log
from liqsim.events import Event
from replay.audit import auctions, halts, own, reductions
from replay.audit.arrivals import arriving
from replay.audit.book import Book
from replay.audit.breakers import breakers_of
from replay.audit.budgets import budgets_of
from replay.audit.caps import fund_limits_of
from replay.audit.causes import Causes
from replay.audit.chain import check_batches, check_digests, check_manifest
from replay.audit.contributions import Contributions
from replay.audit.depth import MarketDepth
from replay.audit.findings import CODES, Finding, Findings
from replay.audit.graces import graces_of
from replay.audit.holds import holds_of
from replay.audit.judges import is_judge
from replay.audit.limits import pacing_of
from replay.audit.liquidations import all_over
from replay.audit.lots import Auctions, auctions_of
from replay.audit.money import Money
from replay.audit.observations import watched_of
from replay.audit.openings import Openings
from replay.audit.prices import Prices
from replay.audit.rules import apply_checked
from replay.audit.scalings import all_looked
from replay.audit.structure import Structure
from replay.audit.triggers import Triggers
from replay.fold import Fold
from replay.sights import Sight
from replay.terms import MitigationTerms, Terms, read_terms

__all__ = ["CODES", "Finding", "Progress", "verify", "verify_open"]

Progress = Callable[[int, int], None]
"""Called with (events audited, all of them)."""

_REPORT_EVERY: Final = 100
_STOCKED: Final = ("keeper", "desk", "vault", "pool", "bidder")
"""Owners that hold an inventory."""
_ENUMS: Final = ("reason", "executor", "outcome", "standing", "action")


def verify(path: str | Path) -> list[Finding]:
    """
    Return everything that is wrong with the log at *path*; an empty list if nothing is.

    Raises:
        LogError: It cannot be read.
    """
    with open_log(path) as log:
        return verify_open(log)


def verify_open(log: LogReader, progress: Progress | None = None) -> list[Finding]:
    """Return everything that is wrong with an open log; *progress* hears how far it is."""
    return audit(log, progress).in_order()


def audit(log: LogReader, progress: Progress | None = None) -> Findings:
    """Return what an audit finds, and what it could not work out, in an open log."""
    findings = Findings()
    terms = _read_terms(log, findings)
    check_manifest(log, terms, findings)
    structure, money, prices = Structure(log, findings), Money(log, findings), Prices(log, findings)
    causes, fold = Causes(findings), Fold()
    book = None if terms is None else _book(log, terms, causes, findings, fold)
    triggers = Triggers(book.buckets if book else (), len(terms.markets) if terms else 0)
    openings = None if terms is None else Openings(log, terms, findings)
    if book is not None:
        prices.depths = book.depths
    structure.check_unnumbered()
    done, count = 0, sum(span.count for span in log.spans.values())
    for low, high in log.chunks:
        kinds = log.chunk(low, high)
        structure.check(kinds)
        check_digests(log, kinds, low, high, findings)
        money.check_costs(kinds)
        prices.check(kinds)
        if openings is not None:
            openings.check(kinds)
        for entry in entries_of(_with_known_names(kinds)):
            causes.check(entry, exists=structure.has)
            moves = fold.apply(entry) if book is None else apply_checked(book, triggers, entry)
            if moves:
                money.note_moves(entry.seq, moves)
            done += 1
            if progress is not None and done % _REPORT_EVERY == 0:
                progress(done, count)
        money.check_postings(low, high)
    check_batches(log, structure.event_count, findings)
    is_sealed = log.manifest.status == "sealed"
    prices.finish(is_sealed=is_sealed)
    if openings is not None:
        openings.finish(is_sealed=is_sealed)
    money.check_totals(fold)
    if book is not None:
        all_over(book, is_sealed=is_sealed)
        if is_sealed:
            halts.finish(book)
            auctions.finish(book)
            all_looked(book)
            reductions.finish(book)
            triggers.others_due(book, None)
            book.contributions.check_missing(book.terms.end_us)
    return findings


def _read_terms(log: LogReader, findings: Findings) -> Terms | None:
    try:
        return read_terms(log.manifest.scenario_toml)
    except ValueError as error:
        findings.add("manifest", None, f"{error}; the rules of the venue were not checked")
        return None


def _book(log: LogReader, terms: Terms, causes: Causes, findings: Findings, fold: Fold) -> Book:
    owners, paths, histories = log.owners, log.reference_prices(), log.historical_prices()
    given = histories or paths
    book = Book(
        terms=terms,
        causes=causes,
        findings=findings,
        fold=fold,
        keepers=frozenset(o.owner_id for o in owners if o.kind in _STOCKED),
        buckets={o.owner_id: o.market_id for o in owners if o.kind == "bucket"},
        paths=paths,
        depths={
            market: MarketDepth(
                terms.markets[market], int(prices[0]), findings, histories.get(market)
            )
            for market, (_, prices) in given.items()
            if market < len(terms.markets) and len(prices)
        },
        keeper_terms={
            o.owner_id: terms.keepers[o.name]
            for o in owners
            if o.kind in _STOCKED and o.name in terms.keepers
        },
        desk_id=next((o.owner_id for o in owners if o.kind == "desk"), None),
        trader_terms={
            o.owner_id: terms.traders[o.cohort]
            for o in owners
            if o.kind == "bucket" and o.cohort is not None and o.cohort in terms.traders
        },
        arriving=arriving(owners, terms.traders, findings),
        pacing=pacing_of(terms.mitigations, is_judge),
        own=own.installed(terms.mitigations),
        holds=holds_of(terms.mitigations, len(terms.markets)),
        auctions=_auctions(log, terms),
        breakers=breakers_of(terms.mitigations),
        graces=graces_of(terms.mitigations),
        watched=watched_of(
            terms.mitigations,
            len(terms.markets),
            terms.start_unix_us,
            frozenset(m for (m,) in log.rows("select distinct market_id from coins_deposited")),
        ),
        purses=_purses(log, terms),
        vaults=_vaults(log, terms),
        fund_limits=fund_limits_of(terms.mitigations),
        bots=frozenset(o.owner_id for o in owners if o.kind == "keeper"),
        burn_id=next((o.owner_id for o in owners if o.kind == "burn"), -1),
        budgets=budgets_of(terms.mitigations),
        contributions=Contributions(
            rules=terms.contributions,
            backers={o.name: o.owner_id for o in owners if o.kind == "backer"},
            fold=fold,
            findings=findings,
        ),
    )
    scalings, reducers = book.watched.scalings, book.watched.reducers
    if reducers or any(scaling.model is not None for scaling in scalings):
        book.sight = Sight(terms, book.buckets, fold, book.depths, book.paths)
    return book


def _purses(log: LogReader, terms: Terms) -> dict[int, list[int]]:
    """Return the owner ids of those whom a mitigation brings in, by its number."""
    numbers = {(o.kind, o.name): o.owner_id for o in log.owners}
    found: dict[int, list[int]] = {}
    for number, kind, name, _ in terms.purses:
        if (kind, name) in numbers:
            found.setdefault(number, []).append(numbers[kind, name])
    return found


def _vaults(log: LogReader, terms: Terms) -> dict[int, MitigationTerms]:
    """Return the terms of vaults and pools by owner id."""
    return {
        owner: terms.mitigations[number]
        for number, owners in _purses(log, terms).items()
        for owner in owners
        if terms.mitigations[number].kind in ("backstop", "pool")
    }


def _auctions(log: LogReader, terms: Terms) -> Auctions:
    """Return what the mitigations of a run auction, and who bids."""
    found = auctions_of(terms.mitigations, len(terms.markets))
    found.bidders = frozenset(o.owner_id for o in log.owners if o.kind == "bidder")
    return found


def _with_known_names(kinds: Mapping[type[Event], Columns]) -> dict[type[Event], Columns]:
    """Return *kinds* with unknown enum names, reported already, read as the first of their enum."""
    return {
        cls: {
            name: np.maximum(array, 0) if name in _ENUMS else array
            for name, array in columns.items()
        }
        for cls, columns in kinds.items()
    }
