"""
Mitigations of third parties: what each says to an ask, asked again where its class is installed.

Its reasons are its own, so its class is made anew from the parameters of the log and asked with
what the log shows of that instant. What it saw of the venue's own book is what its decision
records, where the book bears that out, and else lies between bounds, so that its answer does, too.
An answer that differs from one time to the next says that it keeps or draws something.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import attrs

from liqsim.events import Action, DecisionRecorded, Entry
from liqsim.events.mitigation import NOT_OBSERVED
from replay.audit.book import Book
from replay.audit.coins import slice_size_e8
from replay.audit.judges import is_foreign, is_within, within_distance_e8
from replay.audit.limits import Judging
from replay.terms import MitigationTerms, duration_us

_FIGURES: Final = ("until_at_us", "size_e8", "depth_e8", "forced_uusd", "traded_uusd")
"""What a decision of a third party says; which of them are rounded, only it knows."""


def installed(rows: Sequence[MitigationTerms]) -> dict[int, Callable[[], Any]]:
    """Return what makes each third party's mitigation whose class is to be had, by number."""
    others = [number for number, row in enumerate(rows) if is_foreign(row.kind)]
    if not others:
        return {}
    from liqsim.mitigations import installed_mitigations  # noqa: PLC0415 — few logs ask for it

    classes: Mapping[str, type[Any]] = installed_mitigations()
    found: dict[int, Callable[[], Any]] = {}
    for number in others:
        row = rows[number]
        if row.kind in classes:
            values = _parameters(classes[row.kind], row.values)
            if values is not None:
                found[number] = _maker(classes[row.kind], values)
    return found


def _maker(cls: type[Any], values: dict[str, Any]) -> Callable[[], Any]:
    return lambda: cls(**values)


def check(book: Book, entry: Entry, ask: Judging, e: DecisionRecorded) -> None:
    """Hold a decision against what its mitigation says when it is asked again."""
    if e.mitigation_id not in book.own:
        book.findings.unchecked[book.kind_of(e.mitigation_id)] += 1
        return
    answers = _answers(book, entry, ask, e.mitigation_id, e.depth_e8)
    if answers is None:
        return
    alike = [answer for answer in answers if answer.action is e.action]
    if not alike:
        book.expect("decision", entry, "action", e.action, answers[0].action)
        return
    for what in _FIGURES:
        actual, ends = getattr(e, what), sorted(getattr(answer, what) for answer in alike)
        is_right = ends[0] <= actual <= ends[-1]
        if len(alike) < len(answers):  # A depth between the two made it: what it tells is known.
            is_right = (actual == NOT_OBSERVED) is (ends[0] == NOT_OBSERVED)
        if not is_right:
            book.expect("decision", entry, what, actual, ends[0])


def lets_through(book: Book, entry: Entry, ask: Judging, number: int) -> bool:
    """Return whether a mitigation may have let an ask through without a word."""
    answers = _answers(book, entry, ask, number, NOT_OBSERVED) if number in book.own else None
    return answers is None or any(_is_silent(answer, ask) for answer in answers)


@attrs.frozen
class _Sight:
    """
    What there was to be seen at an ask, by the log.

    Attributes:
        book: Balances and what was traded.
        ask: The ask.
        seen_e8: Depth that the decision records.
        is_most: Whether other depths are the most that the book can have had, or the least.
        depths: The least and the most within each distance that was asked about.
    """

    book: Book
    ask: Judging
    seen_e8: int
    is_most: bool
    depths: dict[int, tuple[int, int]]

    def depth_e8(self, distance_e6: int) -> int:
        """Return the units within a share of the market price."""
        if distance_e6 not in self.depths:
            self.depths[distance_e6] = self._between(distance_e6)
        return self.depths[distance_e6][self.is_most]

    def _between(self, distance_e6: int) -> tuple[int, int]:
        if self.seen_e8 != NOT_OBSERVED and is_within(
            self.book, self.ask, distance_e6, self.seen_e8
        ):
            return self.seen_e8, self.seen_e8
        return within_distance_e8(self.book, self.ask, distance_e6)

    def forced_uusd(self, window_us: int) -> int:
        """Return what liquidations put up within the window."""
        after_us = self.ask.now_us - window_us
        return self.book.flows.forced_uusd(self.ask.market_id, after_us)

    def traded_uusd(self, window_us: int) -> int:
        """Return what was traded within the window."""
        after_us = self.ask.now_us - window_us
        return self.book.flows.traded_uusd(self.ask.market_id, after_us)

    def since_us(self) -> int:
        """Return when the account's last slice ended, or when it was triggered."""
        return self.book.flows.since_us.get(self.ask.bucket_id, 0)


def _answers(
    book: Book, entry: Entry, ask: Judging, number: int, seen_e8: int
) -> tuple[DecisionRecorded, DecisionRecorded] | None:
    """Return what it says if the book had the least, and the most, that it can have had."""
    words, depths = _words(book, ask), dict[int, tuple[int, int]]()
    found = []
    for is_most in (False, True):
        sight = _Sight(book, ask, seen_e8, is_most, depths)
        try:
            spec = book.own[number]()
            first, second = (spec.judge(words, sight) for _ in range(2))
            anew = book.own[number]().judge(words, sight)
            found.append(_decision(ask, number, first))
        except Exception as error:  # noqa: BLE001 — it is another's code, and may do anything
            message = f"{book.kind_of(number)} does not answer: {error!r}"
            book.findings.add("decision", entry.seq, message)
            return None
        if not first == second == anew:
            message = f"{book.kind_of(number)}, asked again, does not say the same"
            book.findings.add("decision", entry.seq, message)
            return None
    return found[0], found[1]


def _words(book: Book, ask: Judging) -> Any:
    """Return an ask as a third party is asked."""
    from liqsim.mitigations import Ask  # noqa: PLC0415 — few logs ask for it

    bucket, market = ask.bucket_id, ask.market_id
    seq, mark = book.liquidation_of[bucket], book.mark(market)
    whole = book.liquidations[seq].sizes_e8.get(market, 0)
    return Ask(
        now_us=ask.now_us,
        liquidation_seq=seq,
        bucket_id=bucket,
        market_id=market,
        tranche_number=ask.tranche_number,
        at_trigger_e8=slice_size_e8(book, market, bucket, whole, mark),
        wanted_e8=ask.wanted_e8,
        mark_e8=mark,
        is_long=book.position(market, bucket) > 0,
    )


def _decision(ask: Judging, number: int, verdict: Any) -> DecisionRecorded:
    """Return the decision that a verdict makes; one that cuts nothing is none."""
    is_delayed = verdict.until_us > ask.now_us
    size = ask.wanted_e8 if verdict.size_e8 is None else verdict.size_e8
    return DecisionRecorded(
        mitigation_id=number,
        action=Action.DELAYED if is_delayed else Action.CUT,
        market_id=ask.market_id,
        bucket_id=ask.bucket_id,
        wanted_e8=ask.wanted_e8,
        size_e8=NOT_OBSERVED if is_delayed else size,
        until_at_us=verdict.until_us if is_delayed else NOT_OBSERVED,
        depth_e8=_seen(verdict.depth_e8),
        forced_uusd=_seen(verdict.forced_uusd),
        traded_uusd=_seen(verdict.traded_uusd),
    )


def _seen(value: int | None) -> int:
    return NOT_OBSERVED if value is None else value


def _is_silent(answer: DecisionRecorded, ask: Judging) -> bool:
    return answer.action is Action.CUT and answer.size_e8 >= ask.wanted_e8


def _parameters(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters of a class as the TOML has them; None if they are not to be read."""
    found: dict[str, Any] = {}
    for attribute in attrs.fields(cls):
        scalar = attribute.metadata.get("scalar")
        if scalar is None and attribute.default is not attrs.NOTHING:
            continue  # Nothing that a scenario says.
        if scalar is None or scalar.form.name not in _READ:
            return None
        value, read = values.get(scalar.key), _READ[scalar.form.name]
        found[attribute.alias] = None if value is None else read(scalar, value)
    return found


_READ: Final[Mapping[str, Any]] = {
    "TEXT": lambda _, value: str(value),
    "FLAG": lambda _, value: bool(value),
    "COUNT": lambda _, value: int(value),
    "CHOICE": lambda _, value: str(value),
    "SCALED": lambda scalar, value: int(Decimal(value) * scalar.scale),
    "DURATION": lambda _, value: duration_us(value),
}
"""How a parameter is read, by its form."""
