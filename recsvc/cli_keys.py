"""The commands that look after API keys: create, list, revoke."""

from pathlib import Path
from typing import Annotated

import typer

from recsvc.cli_events import DatabaseOption, StoreOption, open_database, parse_time
from recsvc.errors import RequestError
from recsvc.terminal import say

keys_app = typer.Typer(help="Look after the API keys of a service.", no_args_is_help=True, rich_markup_mode=None)


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is.", show_default=False)],
    scope: Annotated[
        str, typer.Option("--scope", help="What it may do: read, write (and read) or admin (and both).")
    ] = "read",
    rate: Annotated[float | None, typer.Option("--rate", help="Requests per second [default: no limit].")] = None,
    expires: Annotated[str | None, typer.Option("--expires", help="When it ends, such as 2027-01-01.")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="File of a key drawn already, rsk_ID_SECRET: made known, once."),
    ] = None,
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """Make a key and print it, this once; one of --key-file is printed nowhere."""
    from recsvc.events import key_text
    from recsvc.secret_files import read_secret

    end = parse_time("--expires", expires)
    key = None if key_file is None else read_secret(key_file, "--key-file")
    with open_database(database, store, create=True) as opened:
        key_id, secret = opened.keys.create(name, [scope], rate, end, key=key)
    if key is not None:
        say(f"key {key_id} ({scope}) is the one in {key_file}")
        return
    say(f"key {key_id} ({scope}); keep what follows, it is not shown again")
    print(key_text(key_id, secret))


@keys_app.command("list")
def keys_list(database: DatabaseOption = None, store: StoreOption = None) -> None:
    """List the keys, without their secrets."""
    with open_database(database, store) as opened:
        keys = opened.keys.list()
    for key in keys:
        state = "revoked" if key.revoked is not None else "live" if key.is_live() else "expired"
        until = f"until {key.expires:%Y-%m-%d %H:%M:%S}" if key.expires is not None else ""
        rate = f"{key.rate:g}/s" if key.rate is not None else ""
        shown = (key.id, f"{state:7}", f"{','.join(key.scopes):5}", key.name, rate, until)
        print("  ".join(each for each in shown if each).rstrip())


@keys_app.command("revoke")
def keys_revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key.", show_default=False)],
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """Refuse a key from now on; a service that runs notices within a second."""
    with open_database(database, store) as opened:
        if not opened.keys.revoke(key_id):
            raise RequestError(f"There is no live key {key_id[:40]!r}: `recsvc keys list` names them.")
    print(key_id)
