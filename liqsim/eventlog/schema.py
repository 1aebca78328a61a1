"""DDL of a log file, derived from the event classes."""

from collections.abc import Iterator

from liqsim.events import EVENT_CLASSES, USD_ASSET, Event, Owner
from liqsim.events.schema import ENVELOPE, Column, columns_of, summary_of

MANIFEST_TABLES: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "runs": (
        "The manifest: one row about this run.",
        (
            ("run_id", "VARCHAR", "Identity of the run, from resolved scenario and seed."),
            ("scenario", "VARCHAR", "Name of the scenario."),
            ("scenario_toml", "VARCHAR", "The whole scenario, defaults and overrides included."),
            ("seed", "BIGINT", "Seed of every draw."),
            ("path_mode", "VARCHAR", "How our flow and the reference price go together."),
            ("start_at", "TIMESTAMP", "Start of simulated time, UTC."),
            ("end_at", "TIMESTAMP", "End of simulated time, exclusive, UTC."),
            ("status", "VARCHAR", "running, sealed or failed."),
            ("schema_version", "INTEGER", "Version of these tables."),
            ("package_version", "VARCHAR", "Version of liqsim that wrote the log."),
            ("library_versions", "VARCHAR", "JSON: versions of Python and of the libraries."),
            ("cpu_features", "VARCHAR", "Vector extensions that numpy found."),
            ("event_count", "BIGINT", "Events in the log; null while running."),
            ("digest", "VARCHAR", "Chained digest of all batches, hex; null while running."),
            (
                "genesis_digest",
                "VARCHAR",
                "Digest of scenario, owners, assets and the prices given, hex.",
            ),
            (
                "reference_digest",
                "VARCHAR",
                "Digest of the reference prices, hex; null until a purged run has found them.",
            ),
            (
                "history_digest",
                "VARCHAR",
                "Digest of the historical prices of a purged run, hex; else null.",
            ),
            ("wall_seconds", "DOUBLE", "Real time the run took; null while running."),
            ("error", "VARCHAR", "What ended a failed run; else null."),
        ),
    ),
    "batches": (
        "One row per committed batch: 65,536 events each, fewer in the last one.",
        (
            ("batch_number", "INTEGER", "Count from 0."),
            ("first_seq", "BIGINT", "Its first event."),
            ("last_seq", "BIGINT", "Its last event."),
            ("digest", "VARCHAR", "Chained digest up to and including it, hex."),
        ),
    ),
    "owners": (
        "Everyone who can hold a balance.",
        (
            ("owner_id", "INTEGER", "Number of the owner."),
            ("name", "VARCHAR", "Its name."),
            (
                "kind",
                "VARCHAR",
                (
                    "outside, makers, fund, treasury, network, keeper, desk, backer, staker, "
                    "vault, pool, bidder, burn or bucket."
                ),
            ),
            ("cohort", "VARCHAR", "Cohort of a bucket, else null."),
            ("market_id", "INTEGER", "Market of a bucket, else null."),
        ),
    ),
    "assets": (
        "Everything a balance can be in.",
        (
            (
                "asset_id",
                "INTEGER",
                "Number of the asset; 0 is USD, of market m the contract m + 1, the coin -(m + 1).",
            ),
            ("name", "VARCHAR", "USD, the market whose contract it is, or that and coin."),
            ("kind", "VARCHAR", "cash, contract or coin."),
            ("market_id", "INTEGER", "Market of a contract, else null."),
        ),
    ),
    "historical_prices": (
        "What markets did, as given to a purged run that finds the reference; else empty.",
        (
            ("market_id", "INTEGER", "Which market."),
            ("sim_time", "TIMESTAMP", "From when, UTC."),
            ("price", "DECIMAL(18,8)", "Price in USD per unit."),
        ),
    ),
    "reference_prices": (
        "The exogenous prices, held from each row until the next; found by the end, if purged.",
        (
            ("market_id", "INTEGER", "Which market."),
            ("sim_time", "TIMESTAMP", "From when, UTC."),
            ("price", "DECIMAL(18,8)", "Price in USD per unit."),
        ),
    ),
}

STORED_VIEWS: dict[str, tuple[str, dict[str, str]]] = {
    "events": (
        "Every event of every kind: header, kind and payload.",
        {
            "seq": "Number of the event.",
            "sim_time": "Simulated UTC time.",
            "cause_seq": "The event that brought it about, or null.",
            "kind": "Name of the event's table.",
            "payload": "Its other columns by name; amounts, prices and times as text.",
        },
    ),
    "cash_postings": (
        "Every movement of USD: what each event added to each owner's balance.",
        {
            "seq": "The event.",
            "owner_id": "Whose balance it changed.",
            "asset_id": "0, which is USD.",
            "amount": "By how much, in USD; negative is paid.",
        },
    ),
    "unit_postings": (
        "Every movement of contract units: what each event added to each owner's balance.",
        {
            "seq": "The event.",
            "owner_id": "Whose balance it changed.",
            "asset_id": "The contract: number of the market + 1.",
            "amount": "By how much, in units; negative is given.",
        },
    ),
    "coin_postings": (
        "Every movement of coins: what each event added to each owner's balance.",
        {
            "seq": "The event.",
            "owner_id": "Whose balance it changed.",
            "asset_id": "The coin: that of market m is -(m + 1).",
            "amount": "By how much, in coins; negative is given.",
        },
    ),
    "postings": (
        "Every movement of any asset; per seq and asset they sum to zero.",
        {
            "seq": "The event.",
            "owner_id": "Whose balance it changed.",
            "asset_id": "0 is USD; the contract of market m is m + 1, its coin -(m + 1).",
            "amount": "By how much, in USD, units or coins.",
        },
    ),
}


def statements() -> Iterator[str]:
    """Yield the DDL of an empty log."""
    for name, (comment, columns) in MANIFEST_TABLES.items():
        yield from _table(name, comment, [(c, t, text) for c, t, text in columns])
    for cls in EVENT_CLASSES:
        columns_and_envelope = (*ENVELOPE, *columns_of(cls))
        yield from _table(
            cls.TAG,
            summary_of(cls),
            [(c.name, c.sql_type, c.comment) for c in columns_and_envelope],
        )
    yield from _view(
        "events",
        (
            f"select seq, sim_time, cause_seq, '{cls.TAG}' as kind, {_payload(cls)} as payload "
            f"from {cls.TAG}"
            for cls in EVENT_CLASSES
        ),
    )
    yield from _view(
        "cash_postings",
        _postings("cash"),
    )
    yield from _view(
        "unit_postings",
        _postings("unit"),
    )
    yield from _view(
        "coin_postings",
        _postings("coin"),
    )
    yield from _view(
        "postings",
        (
            "select seq, owner_id, asset_id, amount::decimal(26,8) as amount from cash_postings",
            "select seq, owner_id, asset_id, amount::decimal(26,8) as amount from unit_postings",
            "select seq, owner_id, asset_id, amount::decimal(26,8) as amount from coin_postings",
        ),
    )


def _table(name: str, comment: str, columns: list[tuple[str, str, str]]) -> Iterator[str]:
    body = ", ".join(f"{column} {sql_type}" for column, sql_type, _ in columns)
    yield f"create table {name} ({body})"
    yield f"comment on table {name} is {_quoted(comment)}"
    for column, _, text in columns:
        yield f"comment on column {name}.{column} is {_quoted(text)}"


def _view(name: str, parts: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    comment, columns = STORED_VIEWS[name]
    yield f"create view {name} as " + " union all ".join(parts)
    yield f"comment on view {name} is {_quoted(comment)}"
    for column, text in columns.items():
        yield f"comment on column {name}.{column} is {_quoted(text)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _payload(cls: type[Event]) -> str:
    fields = ", ".join(f"'{c.name}', {_json_value(c)}" for c in columns_of(cls))
    return f"json_object({fields})"


def _json_value(column: Column) -> str:
    # Decimals and times as text, so that no reader turns them into floats.
    return f"{column.name}::varchar" if column.scale or column.is_instant else column.name


def _postings(asset_kind: str) -> Iterator[str]:
    for cls in EVENT_CLASSES:
        names = {column.field: column.name for column in columns_of(cls)}
        for transfer in cls.TRANSFERS:
            contract = "" if transfer.market is None else f"{names[transfer.market]} + 1"
            kind, asset = "unit", contract
            if transfer.market is None:
                kind, asset = "cash", str(USD_ASSET)
            elif transfer.is_coin:
                kind, asset = "coin", f"-({contract})"
            if kind != asset_kind:
                continue
            for side, sign in ((transfer.payer, "-"), (transfer.payee, "")):
                owner = str(int(side)) if isinstance(side, Owner) else names[side]
                yield (
                    f"select seq, {owner}::integer as owner_id, {asset} as asset_id, "
                    f"({sign}{names[transfer.amount]}) as amount from {cls.TAG}"
                )
