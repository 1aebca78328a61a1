"""Data files that are refused: with file, line and column; exit 2; nothing written."""

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.scenarios import at, bars_csv, engine_cascade, knots, market

from liqsim import runner

ROWS = ((100, 101, 95, 96), (96, 96, 90, 91), (91, 93, 85, 92)) * 3
"""Nine bars of twenty seconds, which is the run of three minutes."""

GOOD = bars_csv(*ROWS)
LINES = GOOD.splitlines()


def without(*lines):
    return "\n".join(line for number, line in enumerate(LINES, start=1) if number not in lines)


def with_line(number, text):
    return "\n".join([*LINES[: number - 1], text, *LINES[number:]])


def with_cell(number, column, cell):
    cells = LINES[number - 1].split(",")
    cells[LINES[0].split(",").index(column)] = cell
    return with_line(number, ",".join(cells))


def swapped(first, second):
    lines = list(LINES)
    lines[first - 1], lines[second - 1] = lines[second - 1], lines[first - 1]
    return "\n".join(lines)


REFUSED = {
    "a gap": (
        without(5),
        ["at line 5, column timestamp", '"2026-01-01T00:01:20Z"', "must be 2026-01-01T00:01:00Z"],
    ),
    "a bar too early": (
        with_cell(4, "timestamp", "2026-01-01T00:00:39Z"),
        ["at line 4, column timestamp", "must be 2026-01-01T00:00:40Z, one bar of 20s after"],
    ),
    "a duplicate": (
        with_line(4, LINES[2]),
        ["at line 4, column timestamp", "must not repeat, it is at line 3 already"],
    ),
    "unsorted": (swapped(4, 5), ["at line 5, column timestamp", "must be after the one before"]),
    "another offset": (
        with_cell(4, "timestamp", "2026-01-01T01:00:40+01:00"),
        ["at line 4, column timestamp", "+01:00", "must be UTC"],
    ),
    "no offset": (
        with_cell(4, "timestamp", "2026-01-01T00:00:40"),
        ["at line 4, column timestamp", "must say that it is UTC"],
    ),
    "no time": (
        with_cell(4, "timestamp", "yesterday"),
        ["at line 4, column timestamp", '"yesterday"', "must be a UTC time such as"],
    ),
    "seconds since 1970 that nobody announced": (
        with_cell(4, "timestamp", "1767225640"),
        ["at line 4, column timestamp", "unless `timestamps` says unix_s"],
    ),
    "a day that is not": (
        with_cell(4, "timestamp", "2026-02-30T00:00:40Z"),
        ["at line 4, column timestamp", "must be a date and time that exists"],
    ),
    "NaN": (with_cell(3, "low", "NaN"), ["at line 3, column low", '"NaN" must be a number']),
    "infinity": (with_cell(3, "high", "inf"), ["at line 3, column high", '"inf" must be a number']),
    "zero": (
        with_cell(3, "low", "0"),
        ["at line 3, column low", '"0" must be from 0.00000001 to 9999999999'],
    ),
    "negative": (
        with_cell(3, "low", "-1"),
        ["at line 3, column low", '"-1" must be from 0.00000001'],
    ),
    "overflow": (
        with_cell(3, "high", "10000000000"),
        ["at line 3, column high", "must be from 0.00000001 to 9999999999"],
    ),
    "overflow by an exponent": (with_cell(3, "high", "1e999"), ["at line 3, column high"]),
    "too many decimals": (
        with_cell(3, "high", "96.000000001"),
        ["at line 3, column high", "must have at most 8 decimals"],
    ),
    "an empty cell": (
        with_cell(3, "close", ""),
        ["at line 3, column close", "an empty cell must be a number"],
    ),
    "thousands": (with_cell(3, "close", '"1,000"'), ["at line 3, column close", "1,000"]),
    "underscores": (with_cell(3, "close", "9_1"), ["at line 3, column close", '"9_1"']),
    "high below low": (
        with_cell(3, "high", "89"),
        ["at line 3, column high", '"89" must be at least the low, 90'],
    ),
    "open outside": (
        with_cell(3, "open", "97"),
        ["at line 3, column open", '"97" must be from the low to the high, 90 to 96'],
    ),
    "close outside": (
        with_cell(3, "close", "89.5"),
        ["at line 3, column close", '"89.5" must be from the low to the high, 90 to 96'],
    ),
    "an empty file": ("", ["is empty, it must have a header and rows"]),
    "nothing but a header": (LINES[0], ["is empty, it must have rows below its header"]),
    "a missing column": (
        GOOD.replace(",close", ",volume_usd"),
        ["at line 1", "the column close is missing"],
    ),
    "an unknown column": (
        GOOD.replace("volume", "wolume"),
        ['at line 1, column 6: "wolume" is not a known column', "volume"],
    ),
    "a column twice": (
        GOOD.replace("volume", "low"),
        ['at line 1, column 6: "low" is there twice'],
    ),
    "no header": (without(1), ["at line 1", "is not a known column"]),
    "a row too short": (
        with_line(4, "2026-01-01T00:00:40Z,1,1,1,1"),
        ["at line 4: has 5 columns, must have 6"],
    ),
    "another delimiter": (GOOD.replace(",", ";"), ["at line 1, column 1: "]),
    "an open quote": (with_cell(4, "close", '"9'), ["is not CSV"]),
    "not text": (GOOD.encode() + b"\xff\xfe", ["at line 11: is not UTF-8 text"]),
    "a late beginning": (
        without(2),
        ["at line 2, column timestamp", "must be at or before the start of the run, 2026-01-01T00"],
    ),
    "an early end": (
        without(10),
        ["at line 9, column timestamp", "ends at 2026-01-01T00:02:40Z, must reach the end"],
    ),
    "a comment above the header": (
        "# from an exchange\n" + GOOD,
        ["at line 1, column 1", "# from an exchange", "is not a known column"],
    ),
    "one bar": ("\n".join(LINES[:2]), ["has one row, so `bar` must say how long a bar is"]),
}

REFUSED_KEYS = {
    "no file": ({"file": "none.csv"}, ["path.file", '"none.csv"', "there is no file none.csv"]),
    "a folder": ({"file": "folder.csv"}, ["must be a file; folder.csv is a directory"]),
    "another kind of file": ({"file": "bars.txt"}, ["must end in .csv or .parquet"]),
    "an absolute name": ({"file": "/etc/bars.csv"}, ["must be a name relative to the folder"]),
    "no name": ({"file": ""}, ["must be a name relative to the folder"]),
    "other bytes": ({"sha256": "0" * 64}, ["must be the file of SHA-256 000", "it has changed"]),
    "another bar": ({"bar": "10s"}, ["at line 3, column timestamp", "one bar of 10s after"]),
    "another tick": (
        {"timestamps": "unix_ms"},
        ["at line 2, column timestamp", "must be a whole number of milliseconds since 1970"],
    ),
    "an unknown tick": ({"timestamps": "unix"}, ["path.timestamps", '"unix"', '"unix_s"']),
    "a coarse step": ({"step": "10s"}, ["path.step", '"10s" must divide the file\'s bars of 20s']),
    "an odd step": ({"step": "3s"}, ["path.step", '"3s" must divide the file\'s bars of 20s']),
}

REFUSED_PARQUET = {
    "no time zone": (
        {"timestamp": pa.array([at(0)] * 9, pa.timestamp("us"))},
        ["at column timestamp: has no time zone, must be UTC"],
    ),
    "another time zone": (
        {"timestamp": pa.array([at(0)] * 9, pa.timestamp("us", "Europe/Paris"))},
        ["at column timestamp: has the time zone Europe/Paris, must be UTC"],
    ),
    "numbers that nobody announced": (
        {"timestamp": pa.array([1_767_225_600] * 9)},
        ["at row 1, column timestamp: 1767225600 must be a UTC time"],
    ),
    "NaN": (
        {"low": pa.array([90.0] * 4 + [float("nan")] + [90.0] * 4)},
        ["at row 5, column low", "nan must be finite"],
    ),
    "null": (
        {"low": pa.array([90.0] * 4 + [None] + [90.0] * 4)},
        ["at row 5, column low: an empty cell must be a number"],
    ),
    "a flag": ({"low": pa.array([True] * 9)}, ["at row 1, column low: true must be a number"]),
    "a list": ({"low": pa.array([[1.0]] * 9)}, ["at row 1, column low: [1.0] must be a number"]),
    "half a microsecond": (
        {"timestamp": pa.array([1_500] * 9, pa.timestamp("ns", "UTC"))},
        ["at column timestamp: must be whole microseconds"],
    ),
    "no rows": (
        {
            name: pa.array([], pa.float64())
            for name in ("timestamp", "open", "high", "low", "close")
        },
        ["is empty, it must have rows"],
    ),
}


@pytest.fixture
def scenario(stranger):
    """Write a crash along a file of bars."""

    def write(*, file="bars.csv", others=(), **keys):
        path = {"kind": "file", "step": "1s", "file": file} | keys
        raw = engine_cascade(markets__ETH__path=path)
        for name, other in others:
            raw["markets"][name] = market(path={"kind": "file", "step": "1s", "file": other})
        return stranger.write_scenario("crash.toml", raw)

    return write


def refused(stranger, scenario_file, words):
    before = stranger.files()
    answer = stranger.says("run", scenario_file)

    assert (answer.exit_code, answer.stdout) == (2, "")
    for line in answer.stderr.splitlines():
        assert line.startswith("error: crash.toml: ")
    for word in words:
        assert word in answer.stderr
    assert stranger.files() == before
    return answer.stderr


def test_the_file_that_the_others_are_made_of_runs(stranger, scenario):
    Path("bars.csv").write_text(GOOD)

    assert stranger.says("run", scenario()).exit_code == 0


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_csv_is_refused_with_line_and_column(stranger, scenario, case):
    content, words = REFUSED[case]
    data = content.encode() if isinstance(content, str) else content
    Path("bars.csv").write_bytes(data)

    refused(stranger, scenario(), ['markets.ETH.path.file = "bars.csv" ', *words])


@pytest.mark.parametrize("case", REFUSED_KEYS)
def test_a_bad_key_of_a_file_is_refused(stranger, scenario, case):
    keys, words = REFUSED_KEYS[case]
    Path("bars.csv").write_text(GOOD)
    Path("folder.csv").mkdir()

    refused(stranger, scenario(**keys), ["markets.ETH.", *words])


@pytest.mark.parametrize("case", REFUSED_PARQUET)
def test_a_bad_parquet_is_refused_with_row_and_column(stranger, scenario, case):
    changes, words = REFUSED_PARQUET[case]
    times = pa.array([at(20 * n) for n in range(9)], pa.timestamp("us", "UTC"))
    columns = {name: pa.array([90.0] * 9) for name in ("open", "high", "low", "close")}
    target = io.BytesIO()
    pq.write_table(pa.table({"timestamp": times} | columns | changes), target)
    Path("bars.parquet").write_bytes(target.getvalue())

    refused(stranger, scenario(file="bars.parquet"), words)


def test_what_is_not_parquet_is_refused(stranger, scenario):
    Path("bars.parquet").write_text(GOOD)
    Path("none.parquet").touch()

    refused(stranger, scenario(file="bars.parquet"), ["is not a Parquet file"])
    refused(stranger, scenario(file="none.parquet"), ["is empty"])


def test_two_markets_of_different_spans_are_refused(stranger, scenario):
    Path("bars.csv").write_text(GOOD)
    Path("short.csv").write_text(without(10))
    words = [
        'markets.BTC.path.file = "short.csv" at line 9, column timestamp',
        "must reach the end of the run, 2026-01-01T00:03:00Z; the file of ETH covers the run",
    ]

    refused(stranger, scenario(others=[("BTC", "short.csv")]), words)


def test_a_start_between_two_steps_is_refused(stranger, scenario):
    text = "\n".join(line.replace("0Z", "0.500Z") for line in LINES)
    shifted = text.replace("2026-01-01T00:00:00.500Z", "2025-12-31T23:59:40.500Z,1,1,1,1,1\n", 1)
    first, *rest = shifted.splitlines()
    lines = [first, rest[0], "2026-01-01T00:00:00.500Z" + rest[1], *rest[2:]]
    Path("bars.csv").write_text("\n".join(lines))

    refused(stranger, scenario(), ["path.step", "must divide the 19500ms between a bar's and"])


@pytest.mark.parametrize(
    ("form", "keys", "words"),
    [
        (
            "unix_ms",
            {},
            ["must reach the end of the run", "1970 throughout", "'unix_ms' the right"],
        ),
        ("unix_us", {"bar": "20s"}, ["one bar of 20s after", "1970 throughout", "'unix_us'"]),
    ],
)
def test_seconds_that_are_read_as_something_finer_are_told(stranger, scenario, form, keys, words):
    first = int(at(0).timestamp())
    lines = [f"{first + 20 * n},{line.partition(',')[2]}" for n, line in enumerate(LINES[1:])]
    Path("bars.csv").write_text("\n".join([LINES[0], *lines]))

    refused(stranger, scenario(timestamps=form, **keys), words)


def test_milliseconds_that_are_read_as_seconds_are_told(stranger, scenario):
    first = int(at(0).timestamp()) * 1_000
    lines = [f"{first + 20_000 * n},{line.partition(',')[2]}" for n, line in enumerate(LINES[1:])]
    Path("bars.csv").write_text("\n".join([LINES[0], *lines]))

    refused(stranger, scenario(timestamps="unix_s"), ["9999 as timestamps = 'unix_s'"])


def test_what_is_alone_is_in_the_singular(stranger, scenario):
    Path("bars.csv").write_text(GOOD.replace(",9", ",x", 11))

    refused(stranger, scenario(), ["has 1 more such problem\n"])


def test_ten_bad_lines_are_named_and_the_rest_counted(stranger, scenario):
    Path("bars.csv").write_text(GOOD.replace(",9", ",x"))
    message = refused(stranger, scenario(), ["has 17 more such problems"])

    assert len(message.splitlines()) == 11


# Accounts -----------------------------------------------------------------------------------------

BOOK = (
    "account,market,quantity,entry_price,collateral_usd",
    "ann,ETH,10,100,200",
    "bob,ETH,-4.5,101.25,90.5",
    "cat,ETH,1,99,30",
)


def book_with(column, cell, line=3):
    cells = BOOK[line - 1].split(",")
    cells[BOOK[0].split(",").index(column)] = cell
    return "\n".join([*BOOK[: line - 1], ",".join(cells), *BOOK[line:]])


CALM = knots((0, 100), (180, 100))

REFUSED_ACCOUNTS = {
    "an unknown market": (
        book_with("market", "ETC"),
        ['at line 3, column market: "ETC" must be a market, the nearest is ETH'],
    ),
    "a duplicate row": (
        "\n".join([*BOOK, BOOK[1]]),
        ['at line 5, column account: "ann" has a position in ETH already, at line 2'],
    ),
    "a second position in a market": (
        "\n".join([*BOOK, "ann,ETH,1,100,"]),
        ["at line 5, column account", "has a position in ETH already, at line 2"],
    ),
    "collateral twice": (
        "\n".join([*BOOK, "ann,BTC,1,100,200"]),
        ['at line 5, column collateral_usd: "200" is given for the account already, at line 2'],
    ),
    "collateral nowhere": (
        "\n".join([*BOOK, "dan,ETH,1,100,", "dan,BTC,1,100,"]),
        ["at line 5, column collateral_usd: an empty cell must be given in one of the rows"],
    ),
    "a quantity of zero": (
        book_with("quantity", "0"),
        ['at line 3, column quantity: "0" must not be 0'],
    ),
    "a quantity of minus zero": (
        book_with("quantity", "-0.00"),
        ['at line 3, column quantity: "-0.00" must not be 0'],
    ),
    "a quantity that overflows": (
        book_with("quantity", "-10000000000"),
        ["at line 3, column quantity", "must be from -9999999999 to 9999999999"],
    ),
    "a quantity too fine": (
        book_with("quantity", "1.000000001"),
        ["at line 3, column quantity", "must have at most 8 decimals"],
    ),
    "NaN": (book_with("quantity", "nan"), ["at line 3, column quantity", "must be a number"]),
    "infinity": (book_with("entry_price", "-inf"), ["at line 3, column entry_price"]),
    "a price of zero": (
        book_with("entry_price", "0"),
        ['at line 3, column entry_price: "0" must be from 0.00000001'],
    ),
    "no collateral": (
        book_with("collateral_usd", "0"),
        ['at line 3, column collateral_usd: "0" must be from 0.000001 to 999999999999'],
    ),
    "collateral too fine": (
        book_with("collateral_usd", "0.0000001"),
        ["at line 3, column collateral_usd", "must be from 0.000001"],
    ),
    "an empty cell": (
        book_with("collateral_usd", ""),
        ["at line 3, column collateral_usd: an empty cell must be given in one of the rows"],
    ),
    "a value that overflows": (
        book_with("entry_price", "9999999999").replace("-4.5", "-450"),
        [
            "at line 3, column quantity",
            "must make a value at entry of less than 1,000,000,000,000 USD",
        ],
    ),
    "cash that overflows": (
        book_with("collateral_usd", "999999999999"),
        [
            "at line 3, column quantity",
            "must leave the account cash of less than 1,000,000,000,000 USD",
        ],
    ),
    "no name": (book_with("account", ""), ["at line 3, column account: an empty cell must be"]),
    "a name with a tab": (
        book_with("account", "b\tb"),
        ["at line 3, column account", "a name on one line"],
    ),
    "a name with spaces": (book_with("account", " bob"), ["at line 3, column account"]),
    "a name of two lines": (
        book_with("account", '"bo\nb"'),
        ["column account", "must be a name on one line"],
    ),
    "a name too long": (book_with("account", "b" * 101), ["at line 3, column account"]),
    "a name of the run": (
        book_with("account", "makers"),
        ['at line 3, column account: "makers" must not be one of outside, makers'],
    ),
    "a name of a cohort": (
        book_with("account", "crowd_00029"),
        ["at line 3, column account", "an account of population.cohorts.crowd"],
    ),
    "an unknown column": (
        BOOK[0] + ",side\nann,ETH,10,100,200,long",
        ['at line 1, column 6: "side" is not a known column'],
    ),
    "a missing column": ("account,market\nann,ETH", ["the column quantity is missing"]),
    "an empty file": ("", ["is empty"]),
    "nothing but a header": (BOOK[0], ["is empty, it must have rows below its header"]),
    "too much in all": (
        "\n".join([BOOK[0], *(f"a{n},ETH,1000,300000000,1" for n in range(4))]),
        ["must have notional_usd of less than 1,000,000,000,000 USD in all, not 1,200,000,300,000"],
    ),
    "too many units in all": (
        "\n".join([BOOK[0], *(f"a{n},ETH,5000000000,0.01,1" for n in range(2))]),
        ["must make less than 10,000,000,000 units of ETH"],
    ),
    "due at the start": (
        book_with("collateral_usd", "1", line=2),
        ["at line 2: ann is due at the start, its margin is ", 'due_at_start = "liquidate"'],
    ),
}


@pytest.mark.parametrize("case", REFUSED_ACCOUNTS)
def test_bad_accounts_are_refused_with_line_and_column(stranger, case):
    content, words = REFUSED_ACCOUNTS[case]
    Path("book.csv").write_text(content)
    raw = engine_cascade(population__accounts={"file": "book.csv"}, markets__BTC=market(path=CALM))

    refused(
        stranger,
        stranger.write_scenario("crash.toml", raw),
        ['population.accounts.file = "book.csv" ', *words],
    )


def test_the_accounts_that_the_others_are_made_of_run(stranger):
    Path("book.csv").write_text("\n".join(BOOK))
    file = stranger.write_scenario(
        "crash.toml", engine_cascade(population__accounts={"file": "book.csv"})
    )

    assert stranger.says("run", file, "--out", "out.duckdb").exit_code == 0
    assert stranger.says("verify", "out.duckdb").exit_code == 0
    assert "ann" in stranger.says("replay", "out.duckdb", "--owner", "ann").stdout


def test_accounts_that_are_let_be_are_counted_aloud(stranger):
    Path("book.csv").write_text(book_with("collateral_usd", "1", line=2))
    accounts = {"file": "book.csv", "due_at_start": "liquidate"}
    file = stranger.write_scenario("crash.toml", engine_cascade(population__accounts=accounts))
    answer = stranger.says("run", file)

    assert answer.exit_code == 0
    assert "accounts_due_at_start" in answer.stderr
    assert "accounts=1" in answer.stderr


# A log and its files ------------------------------------------------------------------------------


@pytest.fixture
def interrupted(stranger, scenario, monkeypatch):
    """Give the log of a run along a file that was cut off."""
    Path("bars.csv").write_text(GOOD)
    file = scenario()

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as disturbed:
        disturbed.setattr(runner, "market_extremes", stop)
        assert stranger.says("run", file, "--out", "out.duckdb").exit_code == 130
    return Path("out.duckdb")


def test_who_interrupts_is_told_where_the_files_are(stranger, scenario, monkeypatch):
    Path("there").mkdir()
    Path("there/bars.csv").write_text(GOOD)
    scenario().rename("there/crash.toml")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "market_extremes", stop)
    answer = stranger.says("run", "there/crash.toml", "--out", "out.duckdb")

    assert "liqsim resume out.duckdb --files there\n" in answer.stderr


def test_a_log_is_finished_with_the_file_it_began_with(stranger, interrupted):
    assert stranger.says("resume", interrupted, "-q").exit_code == 0
    assert stranger.says("verify", interrupted).exit_code == 0


def test_a_log_is_finished_with_a_file_that_moved(stranger, interrupted):
    Path("data").mkdir()
    Path("bars.csv").rename("data/bars.csv")
    answer = stranger.says("resume", interrupted)

    assert answer.exit_code == 2
    refusal, hint = answer.stderr.splitlines()
    assert refusal.startswith("error: out.duckdb (its scenario): markets.ETH.path.file = ")
    assert refusal.endswith('"bars.csv" is not there: there is no file bars.csv')
    assert hint == "--files FOLDER says where the scenario and its files are"
    assert stranger.says("resume", interrupted, "--files", "data", "-q").exit_code == 0


def test_a_log_is_not_finished_with_a_file_that_changed(stranger, interrupted):
    before = interrupted.read_bytes()
    Path("bars.csv").write_text(GOOD.replace("85", "86"))
    answer = stranger.says("resume", interrupted)

    assert answer.exit_code == 2
    assert 'markets.ETH.path.file = "bars.csv" must be the file of SHA-256 ' in answer.stderr
    assert "it has changed" in answer.stderr
    assert interrupted.read_bytes() == before
