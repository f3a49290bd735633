"""What a chain of runs, each adapted from the one before, still knows of every task."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.report import text

SHOWN = (13, "Look at what was found")
Name = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The last one: its id, its beginning, 'last', or folder."),
]
Output = Annotated[
    str, typer.Option("--output", metavar="FOLDER", help="Folder of runs.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def verb(run: Name, output: Output = "", json: Json = False) -> None:
    """What a chain of runs still knows of every task, and backward transfer.

    Learn the first task, then each next one with --source run:last; the test rows of each are read again with
    its own head, on the network as it is after every later task.
    """
    found = api.sequence(run, output)
    if json:
        console.document(_plain(found))
        return
    console.say("score on a task (column) after learning one (row)", "bold")
    rows = [
        [f"after {name}", *(f"{value:.3f}" for value in line[: place + 1])]
        for place, (name, line) in enumerate(zip(found.tasks, found.scores, strict=True))
    ]
    wide = [row + [""] * (len(found.tasks) + 1 - len(row)) for row in rows]
    console.table(["", *found.tasks], wide, tuple(range(1, len(found.tasks) + 1)))
    console.say()
    console.say("backward transfer (below zero: forgotten)", "bold")
    console.table(
        ["task", "change", "95 % interval"],
        [[m.group or "all earlier tasks", *text.measured(m)] for m in found.measures],
        (1, 2),
    )


def _plain(found: Any) -> dict[str, Any]:
    scores = [
        [float(value) for value in line[: place + 1]] for place, line in enumerate(found.scores)
    ]
    told = [
        {
            "task": m.group,
            "change": m.value,
            "low": m.low,
            "high": m.high,
            "unit": m.unit,
            "rows": m.n,
        }
        for m in found.measures
    ]
    return {
        "runs": list(found.runs),
        "tasks": list(found.tasks),
        "metrics": list(found.metrics),
        "scores": scores,
        "backward_transfer": told,
    }
