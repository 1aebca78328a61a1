"""
What a person sees when something goes wrong: one message on stderr, and an exit code.

0 done; 1 `verify` has findings; 2 refused, or could not look; 3 a bug of ours; 130 Ctrl-C.
"""

import errno
import functools
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from liqsim.errors import LiqsimError

_WrongWords: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""What the parser of the command line raises, whichever package it stands in."""

FINDINGS: Final = 1
REFUSED: Final = 2
BUG: Final = 3
INTERRUPTED: Final = 130


class Commands(TyperGroup):
    """Says what is wrong with the words of a command as all else that is refused: in one line."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 — as click has it
        windows_expand_args: bool = True,  # noqa: FBT001, FBT002 — likewise
        **extra: Any,
    ) -> Any:
        """Run the command that *args* name, by default those of this process."""
        words = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(
                args,
                prog_name,
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
        except _WrongWords as error:
            named = words[:1] if words and words[0] in self.commands else []
            if words:  # Without any, the help has been printed.
                typer.echo(_refusal(error, " ".join(["liqsim", *named]), words), err=True)
            code = REFUSED
        if standalone_mode:
            sys.exit(code)
        return code


def _refusal(error: Any, command: str, words: Sequence[str]) -> str:
    """Return what is wrong with *words*: command, option, value and what the parser says of it."""
    message = " ".join(error.format_message().split()).rstrip(".")
    given = _given(getattr(getattr(error, "param", None), "opts", ()), words)
    told = f"{given}: {' '.join(error.message.split())}" if given else message
    return f"error: {command}: {told[:1].lower()}{told[1:]}; see {command} --help"


def _given(names: Sequence[str], words: Sequence[str]) -> str:
    """
    Return an option as it was typed, with its value; empty if it was not.

    >>> _given(["--jobs"], ["run", "--jobs", "0"]), _given(["--jobs"], ["run", "--jobs=0"])
    ('--jobs 0', '--jobs=0')
    """
    for at, word in enumerate(words):
        if word in names:
            return " ".join(words[at : at + 2])
        if word.partition("=")[0] in names:
            return word
    return ""


def reported(command: Callable[..., None]) -> Callable[..., None]:
    """
    Return *command* with its errors turned into a message and an exit code.

    Notes that were added to an error, such as where its log was kept, follow the message.
    """

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except LiqsimError as error:
            _leave(error, [f"error: {line}" for line in str(error).splitlines()], REFUSED)
        except KeyboardInterrupt as error:
            _leave(error, ["interrupted"], INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # The reader of our output has seen enough; typer ends quietly.
            where = "" if error.filename is None else f"{error.filename}: "
            _leave(error, [f"error: {where}{error.strerror or error}"], REFUSED)
        except (typer.Exit, typer.BadParameter):
            raise
        except Exception as error:  # noqa: BLE001 — the last resort is what this is
            if kwargs.get("verbose"):
                traceback.print_exception(error)
            lines = [f"internal error, a bug in liqsim: {type(error).__name__}: {error}"]
            if kwargs.get("verbose") == 0:
                lines.append("-v shows where it happened")
            _leave(error, lines, BUG)

    return wrapper


def _leave(error: BaseException, lines: list[str], exit_code: int) -> NoReturn:
    for line in [*lines, *getattr(error, "__notes__", [])]:
        typer.echo(line, err=True)
    raise typer.Exit(exit_code) from error
