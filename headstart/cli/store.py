"""Look at the feature store, or clear it."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.core.store import Space
from headstart.errors import PlanError
from headstart.report import text

SHORT = 10  # digits of a namespace's name that are printed
SHOWN = (21, "Find and tidy")
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
Folder = Annotated[
    str, typer.Option("--store", metavar="FOLDER", help="Folder of the store.", show_default=False)
]
OnlySpace = Annotated[
    str, typer.Option("--space", metavar="NAME", help="Only this namespace.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command("list")
def show(store: Folder = "", json: Json = False) -> None:
    """List what the store keeps, the most recently used first."""
    found = api.store_list(store)
    if json:
        console.document(found)
        return
    if not found:
        console.say("The store is empty.")
        return
    rows = [[*_space(kept), *_size(kept), _day(kept.get("last_used"))] for kept in found]
    console.table(
        ["namespace", "computed by", "profile", "rows", "size", "last used"], rows, (3, 4)
    )
    total = sum(kept["bytes"] for kept in found)
    console.say(f"{text.number(total, 'bytes')} in all. Clear it with: headstart store clear")


@app.command("clear")
def clear(store: Folder = "", space: OnlySpace = "", yes: Yes = False, json: Json = False) -> None:
    """Delete what the store keeps; the next run computes it again."""
    if not yes:
        if not sys.stdin.isatty():
            raise PlanError(
                "Nothing was deleted: there is nobody to ask. Add --yes to delete without asking."
            )
        what = f"the namespace {space}" if space else "everything in the feature store"
        if not typer.confirm(f"Delete {what}?", err=True):
            console.remark("Nothing was deleted.")
            raise typer.Exit(1)
    freed = api.store_clear(store, space)
    if json:
        console.document({"freed_bytes": freed})
    else:
        console.say(f"{text.number(float(freed or 0), 'bytes')} freed.")


def _space(kept: Mapping[str, Any]) -> tuple[str, str, str]:
    """Beginning of the namespace's name (enough for --space), executor, profile."""
    space = Space(**kept["space"])
    return space.name[:SHORT], space.executor, space.profile


def _size(kept: Mapping[str, Any]) -> tuple[str, str]:
    return text.plain(kept["rows"]), text.number(kept["bytes"], "bytes")


def _day(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)):
        return ""
    return f"{datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
