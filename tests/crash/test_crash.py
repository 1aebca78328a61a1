"""A run that is killed leaves a clean prefix, and `resume` finishes it to the very same digest."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from support.verdicts import codes

from liqsim.api import load_scenario, run_to_log
from liqsim.errors import BoundError, LogError, LogInUseError, ResumeError
from liqsim.eventlog.reader import open_log
from liqsim.eventlog.writer import BATCH_EVENTS
from liqsim.events import FundsDeposited, Owner
from replay.verify import verify

SUPPORT = Path(__file__).parents[1] / "support" / "killed_run.py"
IS_DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"

# Most events are openings, which enter in bulk: five batches cost little to run again.
SCENARIO = """
name = "many_accounts"
start = 2020-03-12T00:00:00Z
end = 2020-03-12T00:02:00Z
seed = 7

[markets.ETH]
maintenance = [[0, 0.01]]
[markets.ETH.path]
kind = "gbm"
step = "1s"
start_price = 200
volatility = 3
[markets.ETH.liquidity]
kind = "power_book"
depth_usd = 1_000_000
half_life = "10s"
[markets.ETH.oracle]
deviation = 0.0005
heartbeat = "10s"
landing = { median = "100ms", p99 = "1s" }
[markets.ETH.oracle.sources.one]
period = "1s"
latency = { median = "100ms", p99 = "2s" }
noise = 0.0005

[venue]
executor = "engine"
[venue.fund]
initial_usd = 100_000
[venue.engine]
reaction = "1s"
[venue.tranches]
share = 0.5

[population.cohorts.all]
market = "ETH"
accounts = 170_000
notional_usd = 200_000_000
long_share = 0.5
size = { alpha = 1.5 }
leverage = { median = 10, sigma = 0.6, max = 90 }
"""


@pytest.fixture(scope="module")
def scenario_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crash") / "many_accounts.toml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def undisturbed(scenario_file: Path) -> tuple[str, int]:
    finished = run_to_log(load_scenario(scenario_file), scenario_file.with_suffix(".duckdb"))
    assert finished.event_count >= 5 * BATCH_EVENTS
    with open_log(finished.path) as log:
        kinds = {cls.TAG: span.count for cls, span in log.spans.items()}
    assert kinds["order_filled"] >= 100, "the tail must hold liquidations, not openings alone"
    return finished.digest, finished.event_count


def kill_at(point: str, scenario_file: Path, log: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SUPPORT), str(scenario_file), str(log), point],
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def resumed_digest(scenario_file: Path, log: Path) -> str:
    return run_to_log(load_scenario(scenario_file), log, resume=True).digest


@pytest.mark.parametrize(
    ("point", "batches"),
    [
        ("before_first", 0),
        ("inside", 2),
        ("between", 2),
        ("sealing_before", 5),
        ("sealing_after", 6),
    ],
)
def test_killed_log_is_a_clean_prefix_and_resumes(
    point: str,
    batches: int,
    scenario_file: Path,
    undisturbed: tuple[str, int],
    tmp_path: Path,
) -> None:
    log = tmp_path / "killed.duckdb"

    kill_at(point, scenario_file, log)

    with open_log(log) as prefix:
        assert len(prefix.batches) == batches
        status = prefix.manifest.status
    assert status == ("sealed" if point == "sealing_after" else "running")
    assert verify(log) == []
    if status == "sealed":
        with pytest.raises(ResumeError, match="sealed already"):
            resumed_digest(scenario_file, log)
    else:
        assert resumed_digest(scenario_file, log) == undisturbed[0]
    assert verify(log) == []
    with open_log(log) as whole:
        assert (whole.manifest.digest, whole.manifest.event_count) == undisturbed
    assert [p.name for p in tmp_path.iterdir()] == [log.name], "sealing leaves one file"


def test_killed_at_random_events(
    scenario_file: Path, undisturbed: tuple[str, int], tmp_path: Path
) -> None:
    draw = random.Random(20200312)
    for number in range(40 if IS_DEEP else 1):
        log = tmp_path / f"killed_{number}.duckdb"
        at = draw.randrange(340_001, undisturbed[1] - 10)

        kill_at(f"at_event:{at}", scenario_file, log)

        assert verify(log) == []
        assert resumed_digest(scenario_file, log) == undisturbed[0]
        log.unlink()


def test_failed_run_keeps_what_was_appended_and_resumes(
    scenario_file: Path, undisturbed: tuple[str, int], tmp_path: Path
) -> None:
    log = tmp_path / "failed.duckdb"

    class Stopped(Exception):  # noqa: N818 — stands for a reader pressing Ctrl-C
        pass

    def stop(done_us: int, end_us: int) -> None:
        if done_us > end_us // 2:
            raise Stopped

    with pytest.raises(Stopped):
        run_to_log(load_scenario(scenario_file), log, progress=stop)

    with open_log(log) as prefix:
        assert prefix.manifest.status == "failed"
        assert prefix.manifest.event_count is not None
        assert 340_000 < prefix.manifest.event_count < undisturbed[1]
        assert prefix.manifest.event_count % BATCH_EVENTS
    assert verify(log) == []
    assert resumed_digest(scenario_file, log) == undisturbed[0]
    assert verify(log) == []


def test_resume_refuses_an_edited_log(scenario_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "edited.duckdb"
    kill_at("between", scenario_file, log)
    with duckdb.connect(str(log)) as connection:
        connection.execute("update batches set digest = repeat('0', 64) where batch_number = 1")

    before = manifest_of(log)

    with pytest.raises(ResumeError, match="batch 1"):
        resumed_digest(scenario_file, log)

    assert manifest_of(log) == before


def test_resume_refuses_an_edited_short_batch(scenario_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "edited.duckdb"
    scenario = load_scenario(scenario_file, overrides=["population.cohorts.all.accounts=50"])

    def fail(context):
        yield context.wake(60_000_000, 90)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        run_to_log(scenario, log, actors=[fail])
    with duckdb.connect(str(log)) as connection:
        connection.execute("update batches set digest = repeat('0', 64)")
    before = manifest_of(log)

    with pytest.raises(ResumeError, match="batch 0"):
        run_to_log(scenario, log, resume=True)

    assert manifest_of(log) == before


def test_a_log_is_not_made_beside_the_remains_of_another(
    scenario_file: Path, tmp_path: Path
) -> None:
    log = tmp_path / "new.duckdb"
    (tmp_path / "new.duckdb.wal").write_bytes(b"left over")
    scenario = load_scenario(scenario_file, overrides=["population.cohorts.all.accounts=50"])

    with pytest.raises(LogError, match=r"new\.duckdb\.wal exists"):
        run_to_log(scenario, log)

    assert not log.exists()


def manifest_of(log: Path) -> object:
    with open_log(log) as reader:
        return reader.manifest, reader.batches, reader.spans


def test_second_process_is_told_who_holds_the_log(scenario_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "held.duckdb"
    code = (
        "import sys, duckdb\n"
        "c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    )
    run_to_log(load_scenario(scenario_file, overrides=["population.cohorts.all.accounts=10"]), log)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LogInUseError, match=f"in use by process {holder.pid}"):
            open_log(log)
        holder.communicate(b"")


def test_reopening_after_a_kill_is_quick(scenario_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "killed.duckdb"
    kill_at("sealing_before", scenario_file, log)
    started = time.perf_counter()
    with open_log(log) as prefix:
        assert prefix.last_seq == 5 * BATCH_EVENTS - 1
    assert time.perf_counter() - started < 10.0, "the bar of one second is measured in bench/"


def test_an_event_out_of_range_ends_the_log_just_before_it(
    scenario_file: Path, tmp_path: Path
) -> None:
    def overdraw(context):
        yield context.wake(60_000_000, 90)
        for _ in range(10):
            context.journal.append(FundsDeposited(int(Owner.FUND), 1))
        context.journal.append(FundsDeposited(int(Owner.FUND), -1))

    log = tmp_path / "out_of_range.duckdb"
    scenario = load_scenario(scenario_file, overrides=["population.cohorts.all.accounts=10"])

    with pytest.raises(BoundError, match=r"funds_deposited.amount_uusd was -1, must be in \[0"):
        run_to_log(scenario, log, actors=[overdraw])

    with open_log(log) as kept:
        assert kept.manifest.status == "failed"
        assert "funds_deposited.amount_uusd" in str(kept.manifest.error)
        deposits = kept.rows("select count(*) from funds_deposited where amount_usd = 0.000001")
    assert deposits == [(10,)]
    assert codes(log) == {"deposit"}, "the bystander's, no more"
