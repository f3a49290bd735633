"""List the finished runs."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api

SHOWN = (10, "Look at what was found")
COLUMNS = ("id", "verdict", "data", "source", "strategy")
Output = Annotated[
    str, typer.Option("--output", metavar="FOLDER", help="Folder of runs.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def verb(output: Output = "", json: Json = False) -> None:
    """List the finished runs, the newest first."""
    found = api.runs(output)
    if json:
        console.document(found)
    elif found:
        console.table(COLUMNS, [[entry.get(c, "") for c in COLUMNS] for entry in found])
    else:
        console.say("There is no finished run yet. Make one with: headstart run DATA")
