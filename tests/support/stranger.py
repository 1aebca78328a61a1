"""A person in a folder who only knows the command line."""

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from typer.testing import CliRunner

from liqsim.cli import app
from liqsim.scenario.toml import dump


@attrs.frozen
class Answer:
    """What a command came back with."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one JSON value on stdout, each of whose decimals must be text."""
        return json.loads(self.stdout)


@attrs.frozen
class Stranger:
    """
    Someone at a terminal.

    Attributes:
        folder: Where he is.
    """

    folder: Path

    def says(self, *words: Any) -> Answer:
        """Run `liqsim` with *words* in this process."""
        result = CliRunner().invoke(app, [str(word) for word in words])
        return Answer(result.exit_code, result.stdout, result.stderr)

    def starts(self, *words: Any) -> Answer:
        """Run `liqsim` with *words* in a process of its own."""
        return self.python("-c", "from liqsim.cli import app; app()", *words)

    def python(self, *words: Any) -> Answer:
        """Run Python with *words* in a process of its own."""
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def watches(self, *words: Any) -> str:
        """Run `liqsim` with *words* at a terminal, and return what that shows beside the answer."""
        ours, theirs = pty.openpty()
        code = "from liqsim.cli import app; app()"
        with subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            cwd=self.folder,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = b""
            with suppress(OSError):  # Linux says so when the other end is closed.
                while part := os.read(ours, 65_536):
                    shown += part
            process.wait()
        os.close(ours)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())

    def write_scenario(self, name: str, raw: Any) -> Path:
        """Write the tables *raw* into the file *name*, and return its name."""
        (self.folder / name).write_text(dump(raw), encoding="utf-8")
        return Path(name)

    def files(self) -> set[str]:
        """Return everything that is in the folder, at any depth."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*")}
