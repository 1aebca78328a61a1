"""
What a person sees when something goes wrong: one message on stderr, and an exit code.

0 done; 1 `verify` has findings; 2 refused, or could not look; 3 a bug of ours; 130 Ctrl-C.
"""

import errno
import functools
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn

import typer

from liqsim.errors import LiqsimError

FINDINGS: Final = 1
REFUSED: Final = 2
BUG: Final = 3
INTERRUPTED: Final = 130


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
