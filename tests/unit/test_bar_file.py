"""Bars out of files: every form of them that is read, exactly, and what the scenario keeps."""

import hashlib
import io
import shutil
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.files import FILES, data_file
from support.scenarios import at, bars, bars_csv, load, market, small_scenario

from liqsim.errors import ScenarioError
from liqsim.mechanics.paths import reference_path
from liqsim.scenario import load_scenario, scenario_from_dict, scenario_from_toml
from liqsim.scenario.toml import dump
from liqsim.scenario.values import instant_of

ROWS = ((100, 101, 99.5, 100.5), (100.5, 100.5, 90, "90.00000001"), (91, 95, 90, 94))
E8 = tuple(tuple(int(Decimal(str(price)) * 10**8) for price in row) for row in ROWS)
REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


def scenario_of(path, **changes):
    end = changes.pop("end", at(60))
    return small_scenario(end=end, markets__ETH=market(path=path), **changes)


def read(name, **keys):
    path = {"kind": "file", "step": "1s", "file": name} | keys
    (one,) = load(scenario_of(path)).markets
    return one.path


def parquet(**columns):
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return data_file(target.getvalue(), ".parquet")


def typed_columns(price, **changes):
    """Return the columns of `ROWS`, the prices made by *price*."""
    names = ("open", "high", "low", "close")
    cells = {
        name: pa.array([price(str(row[place])) for row in ROWS]) for place, name in enumerate(names)
    }
    times = pa.array([at(20 * n) for n in range(3)], pa.timestamp("us", "UTC"))
    return {"timestamp": times} | cells | changes


# Forms --------------------------------------------------------------------------------------------


def csv_with_times(*times):
    lines = [f"{time},{','.join(map(str, row))}" for time, row in zip(times, ROWS, strict=True)]
    return data_file("\n".join(["timestamp,open,high,low,close", *lines]))


UNIX = [int(at(20 * n).timestamp()) for n in range(3)]

FORMS = {
    "Z": (lambda: csv_with_times(*(f"{at(20 * n):%Y-%m-%dT%H:%M:%SZ}" for n in range(3))), {}),
    "zero offset": (lambda: csv_with_times(*(str(at(20 * n)) for n in range(3))), {}),
    "milliseconds": (
        lambda: csv_with_times(*(f"{at(20 * n):%Y-%m-%dT%H:%M:%S.000Z}" for n in range(3))),
        {},
    ),
    "unix_s": (lambda: csv_with_times(*UNIX), {"timestamps": "unix_s"}),
    "unix_ms": (lambda: csv_with_times(*(n * 10**3 for n in UNIX)), {"timestamps": "unix_ms"}),
    "unix_us": (lambda: csv_with_times(*(n * 10**6 for n in UNIX)), {"timestamps": "unix_us"}),
    "bar given": (lambda: data_file(bars_csv(*ROWS)), {"bar": "20s"}),
    "lines of Windows": (lambda: data_file(bars_csv(*ROWS).replace("\n", "\r\n")), {}),
    "byte order mark": (lambda: data_file("\ufeff" + bars_csv(*ROWS)), {}),
    "blank lines": (lambda: data_file(bars_csv(*ROWS).replace("\n", "\n\n")), {}),
    "quotes": (lambda: data_file(bars_csv(*ROWS).replace("101", '"101"')), {}),
    "exponent": (lambda: data_file(bars_csv(*ROWS).replace("101,", "1.01e+2,")), {}),
    "zeros": (lambda: data_file(bars_csv(*ROWS).replace("101,", "0101.00000000000000,")), {}),
    "other order of columns": (
        lambda: data_file(
            "\n".join(",".join(reversed(line.split(","))) for line in bars_csv(*ROWS).split())
        ),
        {},
    ),
    "parquet of decimals": (lambda: parquet(**typed_columns(Decimal)), {}),
    "parquet of floats": (lambda: parquet(**typed_columns(float)), {}),
    "parquet of text": (lambda: parquet(**typed_columns(str)), {}),
    "parquet in nanoseconds": (
        lambda: parquet(
            **typed_columns(
                float,
                timestamp=pa.array([at(20 * n) for n in range(3)], pa.timestamp("ns", "Etc/UTC")),
            )
        ),
        {},
    ),
    "parquet in milliseconds since 1970": (
        lambda: parquet(**typed_columns(float, timestamp=pa.array([n * 1_000 for n in UNIX]))),
        {"timestamps": "unix_ms"},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_bars(form):
    make, keys = FORMS[form]
    path = read(make(), **keys)

    assert path.bars.rows == E8
    assert path.bars.first_unix_us == UNIX[0] * 10**6
    assert (path.bars.first_us, path.bars.bar_us) == (0, 20 * 10**6)


def test_columns_that_nobody_reads_may_hold_anything():
    text = "timestamp,open,high,low,close,volume,trades,close_time\n"
    text += "".join(f"{at(20 * n):%Y-%m-%dT%H:%M:%SZ},1,1,1,1,many,,never\n" for n in range(3))

    assert read(data_file(text)).bars.rows == ((10**8,) * 4,) * 3


def test_only_the_bars_of_the_run_are_kept():
    name = data_file(bars_csv(*ROWS * 4))
    path = {"kind": "file", "step": "1s", "file": name}
    (one,) = load(scenario_of(path, start=at(30), end=at(70))).markets

    assert one.path.bars.rows == E8[1:] + E8[:1]
    assert one.path.bars.first_us == -10 * 10**6
    assert reference_path(one, seed=1, end_us=40 * 10**6).view[10] == E8[2][0]


# What the scenario keeps --------------------------------------------------------------------------


def test_the_resolved_scenario_names_the_bytes():
    text = bars_csv(*ROWS)
    scenario = load(scenario_of(bars(*ROWS)))
    digest = hashlib.sha256(text.encode()).hexdigest()

    assert f'sha256 = "{digest}"\n' in scenario.resolved_toml
    assert 'bar = "20s"\n' in scenario.resolved_toml
    assert str(FILES) not in scenario.resolved_toml
    again = scenario_from_toml(scenario.resolved_toml, source="log", folder=FILES)
    assert again == scenario


def test_a_file_is_looked_for_beside_its_scenario(tmp_path, monkeypatch):
    folder = tmp_path / "there"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "eth.csv").write_text(bars_csv(*ROWS))
    raw = scenario_of({"kind": "file", "step": "1s", "file": "data/eth.csv"})
    (folder / "mine.toml").write_text(dump(raw))
    monkeypatch.chdir(tmp_path)

    (one,) = load_scenario(Path("there/mine.toml")).markets
    assert one.path.bars.rows == E8
    with pytest.raises(ScenarioError, match="there is no file data"):
        scenario_from_dict(raw, source="mine.toml")


def test_another_file_by_an_override(tmp_path):
    (tmp_path / "one.csv").write_text(bars_csv(*ROWS))
    (tmp_path / "two.csv").write_text(bars_csv(*reversed(ROWS)))
    raw = scenario_of({"kind": "file", "step": "1s", "file": "one.csv"})
    (tmp_path / "mine.toml").write_text(dump(raw))

    override = ["markets.ETH.path.file=two.csv"]
    (one,) = load_scenario(tmp_path / "mine.toml", overrides=override).markets
    assert one.path.bars.rows == E8[::-1]


# Real data ----------------------------------------------------------------------------------------

REAL_FILES = {
    "2020-03-12_black_thursday/eth_usd_10m.csv": "1s",
    "2020-03-12_black_thursday/btc_usdt_1h_binance.csv": "10s",
    "2021-05-19_china_ban_crash/eth_usdt_5m_binance.csv": "10s",
    "2022-05-09_luna_ust/luna_usdt_1m_binance.csv": "15s",
    "2025-10-10_largest_liquidation/btc_usd_coinm_perp_mark_or_index_1m_binance.csv": "10s",
}


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the price records are not in {REAL.parts[-2:]}")
@pytest.mark.parametrize("name", REAL_FILES)
def test_real_bars_are_met_exactly(name, tmp_path):
    shutil.copy(REAL / name, tmp_path / "bars.csv")
    with (tmp_path / "bars.csv").open() as file:
        header, *lines = (line.rstrip("\n").split(",") for line in file)
    place = {column: number for number, column in enumerate(header)}
    times = [datetime.fromisoformat(line[place["timestamp"]]) for line in lines]
    raw = scenario_of(
        {"kind": "file", "step": REAL_FILES[name], "file": "bars.csv"},
        start=times[0],
        end=times[-1] + (times[1] - times[0]),
    )
    (one,) = scenario_from_dict(raw, source="real", folder=tmp_path).markets
    end_us = (raw["end"] - raw["start"]) // timedelta(microseconds=1)
    held = reference_path(one, seed=1, end_us=end_us).prices_e8.reshape(len(lines), -1)

    found = (held[:, 0], held.max(axis=1), held.min(axis=1), held[:, -1])
    for column, prices in zip(("open", "high", "low", "close"), found, strict=True):
        expected = [int(Decimal(line[place[column]]) * 10**8) for line in lines]
        assert np.array_equal(prices, expected)
    assert instant_of(one.path.bars.first_unix_us) == times[0]
