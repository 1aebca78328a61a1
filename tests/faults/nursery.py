"""
A process that has imported what every planted fault's run needs, and forks one run per order.

What does not change from fault to fault is imported once: nothing of liqsim or replay, in which the
faults are planted. An order is a line of JSON on standard input; the answer is the exit code.
"""

import importlib
import json
import os
import sys
from typing import Any

SHARED = (
    "attrs", "cattrs", "duckdb", "hypothesis.stateful", "numpy", "pyarrow.parquet", "pytest",
    "rich.console", "rich.progress", "rich.table", "simpy", "structlog", "typer.testing",
)  # fmt: skip


def run(order: dict[str, Any]) -> int:
    """Run pytest as `python -m pytest` would in a folder of the order's, its output into a file."""
    os.chdir(order["folder"])
    os.environ |= order["environment"]
    sys.path.insert(0, order["folder"])
    sys.dont_write_bytecode = False  # The next run reads what this one has compiled.
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    return int(sys.modules["pytest"].main(order["arguments"]))


def main() -> None:
    for name in SHARED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70  # What pytest never ends with, if the run itself breaks.
            try:
                code = run(json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
