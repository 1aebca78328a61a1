"""Fills and extremes against the reference prices stored in the log."""

from collections.abc import Mapping
from typing import Final

import attrs
import numpy as np

from liqsim.eventlog.reader import Columns, IntArray, LogReader
from liqsim.events import (
    Event,
    InventorySold,
    MarketExtremes,
    OrderFilled,
    PositionReduced,
    TradeFilled,
)
from replay.audit.depth import MarketDepth, is_near
from replay.audit.findings import Findings, e8

_FILLS: Final = (OrderFilled, InventorySold, TradeFilled, PositionReduced)


@attrs.define
class Prices:
    """
    Checks chunk after chunk.

    Attributes:
        log: The log.
        findings: Where findings go.
        lowest: Lowest market price after a fill, by market.
        highest: Highest.
        paths: (Instants, prices) of the reference path, by market.
        depths: What flow has done to each market.
    """

    log: LogReader
    findings: Findings
    lowest: dict[int, int] = attrs.Factory(dict)
    highest: dict[int, int] = attrs.Factory(dict)
    paths: dict[int, tuple[IntArray, IntArray]] = attrs.field(init=False)
    depths: dict[int, MarketDepth] = attrs.Factory(dict)
    _recorded: dict[int, tuple[int, dict[str, int]]] = attrs.Factory(dict)

    def __attrs_post_init__(self) -> None:
        self.paths = self.log.reference_prices()

    def check(self, kinds: Mapping[type[Event], Columns]) -> None:
        """Check the next chunk's fills and remember its extremes."""
        for cls in _FILLS:
            if cls in kinds:
                self._check_fills(cls, kinds[cls])
        if MarketExtremes in kinds:
            columns = {name: array.tolist() for name, array in kinds[MarketExtremes].items()}
            for row, seq in enumerate(columns["seq"]):
                values = {name: column[row] for name, column in columns.items()}
                if values["market_id"] in self._recorded:
                    message = f"the extremes of market {values['market_id']} are recorded twice"
                    self.findings.add("extremes", seq, message)
                self._recorded[values["market_id"]] = (seq, values)

    def _check_fills(self, cls: type[Event], columns: Columns) -> None:
        for market in np.unique(columns["market_id"]).tolist():
            if market not in self.paths:
                continue  # Reported as owner_unknown.
            rows = columns["market_id"] == market
            at_us, prices = self.paths[market]
            place = np.searchsorted(at_us, columns["sim_time_us"][rows], side="right") - 1
            right = prices[np.maximum(place, 0)]
            seq, actual = columns["seq"][rows], columns["reference_price_e8"][rows]
            for row in np.flatnonzero(actual != right).tolist():
                self.findings.expect(
                    "fill_reference", int(seq[row]), f"{cls.TAG}.reference_price_e8",
                    int(actual[row]), int(right[row]),
                )  # fmt: skip
            market_price = columns["market_price_e8"][rows]
            low, high = int(market_price.min()), int(market_price.max())
            self.lowest[market] = min(low, self.lowest.get(market, low))
            self.highest[market] = max(high, self.highest.get(market, high))

    def finish(self, *, is_sealed: bool) -> None:
        """Check the extremes of every market."""
        for market in self.log.markets:
            if market in self._recorded:
                if market in self.paths:
                    self._check_extremes(market, *self._recorded[market])
            elif is_sealed:
                message = f"the extremes of market {market} are not recorded"
                self.findings.add("extremes", None, message)

    def _check_extremes(self, market: int, seq: int, values: dict[str, int]) -> None:
        at_us, prices = self.paths[market]
        end_us = self.log.manifest.end_us
        prices = prices[at_us < end_us]
        if not len(prices):
            return
        low, high = int(prices.argmin()), int(prices.argmax())
        reference = {
            "start_price_e8": int(prices[0]),
            "lowest_reference_e8": int(prices[low]),
            "lowest_reference_at_us": int(at_us[low]),
            "highest_reference_e8": int(prices[high]),
            "highest_reference_at_us": int(at_us[high]),
            "end_reference_e8": int(prices[-1]),
        }
        if market not in self.lowest:
            # Nobody traded: the market price is the reference price.
            reference |= {
                name.replace("reference", "market"): value
                for name, value in reference.items()
                if "reference" in name
            }
        for name, right in reference.items():
            self.findings.expect("extremes", seq, name, values[name], right)
        if market in self.lowest:
            self._check_market(market, seq, values)
        if market in self.depths:
            self._check_standing(market, seq, values)

    def _check_market(self, market: int, seq: int, values: dict[str, int]) -> None:
        low, high = values["lowest_market_e8"], values["highest_market_e8"]
        ends = (values["start_price_e8"], values["end_market_e8"])
        for what, price in (
            ("the lowest fill", self.lowest[market]),
            ("the highest fill", self.highest[market]),
            ("the start", ends[0]),
            ("the end", ends[1]),
        ):
            if not low <= price <= high:
                message = (
                    f"market prices lie in [{e8(low)}, {e8(high)}], but {what} is at {e8(price)}"
                )
                self.findings.add("extremes", seq, message)
        for name in ("lowest_market_at_us", "highest_market_at_us"):
            if not 0 <= values[name] < self.log.manifest.end_us:
                self.findings.add("extremes", seq, f"{name[:-3]} is outside the run")

    def _check_standing(self, market: int, seq: int, values: dict[str, int]) -> None:
        """Check extremes and end against the read side's own book."""
        depth, path = self.depths[market], self.paths[market]
        depth.check_purged(*path)
        low, high, end = depth.extremes(*path, self.log.manifest.end_us)
        for name, right in (
            ("lowest_market_e8", low),
            ("highest_market_e8", high),
            ("end_market_e8", end),
        ):
            if not is_near(values[name], right):
                self.findings.expect("extremes", seq, name, values[name], round(right))
        for name in ("lowest_market", "highest_market"):
            at_us, price = values[f"{name}_at_us"], values[f"{name}_e8"]
            if not depth.stood_at(min(max(at_us, 0), self.log.manifest.end_us - 1), price, *path):
                message = f"{name} {e8(price)} did not stand {at_us} us after the start"
                self.findings.add("extremes", seq, message)
