"""`liqsim replay`: the state at an instant, events, a life of an account, a liquidation's story."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer

from liqsim.cli.events_table import list_events, listing_as_dict, print_listing
from liqsim.cli.ladder_table import describe_ladder, print_ladder
from liqsim.cli.life_table import describe_life, print_life
from liqsim.cli.options import AsJson, LogPath, Verbose
from liqsim.cli.state_table import describe_owner, describe_state, print_owner, print_state
from liqsim.cli.story_table import describe_story, print_story
from liqsim.errors import QueryError
from replay.log import Log

_TIME = 'TIME: UTC, such as "2020-03-12 14:31" or 2020-03-12T14:31:00Z.'


_LISTED = 50


def replay(
    log_path: LogPath,
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help=f"The state at this instant. {_TIME}"),
    ] = None,
    seq: Annotated[
        int | None, typer.Option(metavar="N", help="The state right after event N.")
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of this owner alone: balances, position, margin."),
    ] = None,
    ladder: Annotated[
        bool,
        typer.Option("--ladder", help="What would then become due per 1 % of price, and b."),
    ] = False,
    account: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The life of this account, from deposit to end."),
    ] = None,
    liquidation: Annotated[
        int | None,
        typer.Option(metavar="SEQ", help="The story of the liquidation that event SEQ triggered."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="List the events from this instant on."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="List the events up to this instant."),
    ] = None,
    after: Annotated[
        int | None, typer.Option(metavar="N", help="List the events after event N.")
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="K", help="List only events of this kind; may be repeated."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="List at most so many events.",
            show_default="50; with --account all",
        ),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """
    Show the state at an instant, step through the events, follow an account or a liquidation.

    With --at or --seq the state then, without any option at the end; with --ladder what would
    become due from there, against the book.

    With --from, --to, --after or --kind the events, and what caused each.

    With --account all that happened to it, and its position, cash, equity and margin after that.

    With --liquidation why it was, at what prices, what was lost to what, and who paid.

    Example: liqsim replay LOG --at "2020-03-12 14:31"

    Example: liqsim replay LOG --at "2020-03-12 10:30" --ladder

    Example: liqsim replay LOG --account crowd_00017

    Example: liqsim replay LOG --liquidation 23042

    Example: liqsim replay LOG --from "2020-03-12 10:30" --kind fund_drawn
    """
    del verbose  # Asked for by the policy on errors.
    is_listing = since is not None or until is not None or after is not None or bool(kinds)
    is_state = at is not None or seq is not None or owner is not None or ladder
    single = [
        name
        for name, value in (("--account", account), ("--liquidation", liquidation))
        if value is not None
    ]
    _refuse_mixed(single, is_listing=is_listing, is_state=is_state)
    if ladder and owner is not None:
        message = "--ladder is about everybody: it does not go with --owner"
        raise QueryError(message)
    with Log(log_path) as log:
        if liquidation is not None:
            story = describe_story(log, liquidation)
            (_print_json if as_json else print_story)(story)
            return
        if account is not None:
            life = describe_life(log, account, limit)
            (_print_json if as_json else print_life)(life)
            return
        if is_listing:
            listing = list_events(
                log,
                since=since,
                until=until,
                after=after,
                kinds=kinds or (),
                limit=limit or _LISTED,
            )
            if as_json:
                _print_json(listing_as_dict(listing))
            else:
                print_listing(log, listing)
            return
        state = log.state_at(at, seq=seq)
        if ladder:
            described, show = describe_ladder(log, state), print_ladder
        elif owner is not None:
            described, show = describe_owner(log, state, owner), print_owner
        else:
            described, show = describe_state(log, state), print_state
        (_print_json if as_json else show)(described)


def _refuse_mixed(single: list[str], *, is_listing: bool, is_state: bool) -> None:
    if len(single) > 1 or (single and (is_listing or is_state)):
        what = {
            "--account": "a whole life: only --limit and --json go",
            "--liquidation": "a whole story: only --json goes",
        }[single[0]]
        message = f"{single[0]} shows {what} with it"
        raise QueryError(message)
    if is_listing and is_state:
        message = (
            "--at, --seq, --owner, --ladder show a state; --from, --to, --after, --kind list events"
        )
        raise QueryError(message)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, default=_plain))


def _plain(value: Any) -> str:
    match value:
        case Decimal():
            return f"{value:f}"
        case datetime():
            moment = value if value.tzinfo is None else value.astimezone(UTC)
            return f"{moment:%Y-%m-%dT%H:%M:%S.%fZ}"
        case _:
            raise TypeError(type(value))
