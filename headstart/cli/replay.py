"""Carry out a recorded run again and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli._progress import watcher

SHOWN = (3, "Make and use a model")
Name = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning, 'last', or its folder.")
]
Data = Annotated[
    str,
    typer.Option("--data", metavar="PATH", help="Where the run's data are now, if they moved."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; one line at the end.")]


def verb(run: Name, data: Data = "", json: Json = False, quiet: Quiet = False) -> None:
    """Carry out a recorded run again and compare the model. Exit code 1 where it differs.

    The test split stays closed: the stored predictions are not made again.
    """
    made = api.open_run(run)
    with watcher(quiet=quiet) as told:
        found = made.replay(told, data=data)
    if json:
        console.document({"id": made.record.id, **found})
    else:
        gap = found.get("largest_difference")
        words = "bit for bit the same" if found.get("bitwise") else "the same within tolerance"
        said = words if found["equal"] else "different"
        size = f"; the largest difference between weights is {gap:.3g}" if gap else ""
        console.say(
            f"The model made again is {said}{size}.", "green" if found["equal"] else "bold red"
        )
        if not quiet:
            console.facts(
                [(k, "same" if v else "different") for k, v in found.get("digests", {}).items()]
            )
    if not found["equal"]:
        raise typer.Exit(1)
