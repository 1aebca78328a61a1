"""What a run shows while it goes on, and how Ctrl-C ends it without tearing a batch."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from liqsim.api import Progress as Report
from liqsim.api import Scenario
from liqsim.cli.text import clock, iso


@contextmanager
def simulated_time(scenario: Scenario, path: Path, *, is_shown: bool) -> Iterator[Report]:
    """
    Give the function that a run into *path* reports its progress to.

    The first Ctrl-C takes effect at the next report, between two steps of the run: in the midst
    of a commit it could leave a batch half written. The second one kills the process, which the
    log survives up to its last batch.
    """
    asked = threading.Event()
    bar = _bar(is_shown=is_shown)
    console = bar.console
    task = bar.add_task("drawing prices and accounts", total=None)

    def report(done_us: int, all_us: int) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        at = clock(iso(scenario.start_unix_us + done_us))
        bar.update(task, completed=done_us, total=all_us, description=f"{at} UTC")

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not path.exists():
            raise KeyboardInterrupt  # Nothing has been written that could be torn.
        if asked.is_set():
            console.show_cursor()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        asked.set()
        sys.stderr.write("stopping; once more to stop at once\n")

    with _handling_sigint(interrupt), bar:
        yield report


@contextmanager
def share_done(what: str, *, is_shown: bool) -> Iterator[Report]:
    """Give the function that a task hears its progress by: (done, all of it), in any unit."""
    bar = _bar(is_shown=is_shown)
    task = bar.add_task(what, total=None)

    def report(done: int, whole: int) -> None:
        bar.update(task, completed=done, total=whole)

    with bar:
        yield report


def _bar(*, is_shown: bool) -> Progress:
    """Return a bar for a terminal: share and time so far, as no run goes at one speed."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        expand=True,
        disable=not (is_shown and console.is_terminal),
    )


@contextmanager
def _handling_sigint(handler: object) -> Iterator[None]:
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield  # Another thread may handle no signals; a job in the background ignores this one.
        return
    before = signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
