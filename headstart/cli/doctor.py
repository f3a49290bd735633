"""Check this installation."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api

SHOWN = (22, "Find and tidy")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def verb(json: Json = False) -> None:
    """Check this installation: libraries, folders, disk, network. Exit code 1 where something fails."""
    found = api.doctor()
    if json:
        console.document(found)
    else:
        console.table(["", "what", "found"], [[c["status"], c["what"], c["detail"]] for c in found])
        for check in found:
            if check.get("remedy"):
                console.say(f"{check['what']}: {check['remedy']}")
    if any(check["status"] == "fail" for check in found):
        raise typer.Exit(1)
