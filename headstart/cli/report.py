"""Show the report of a run."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli import _tables as tables

SHOWN = (11, "Look at what was found")
Name = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning, 'last', or its folder.")
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Copy the page to this file.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def verb(
    run: Name = "last",
    output: Output = None,
    open_: Open = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Show the report of a run: one self-contained HTML page, made from what the run recorded."""
    made = api.open_run(run)
    path = Path(made.report())
    if output:
        tables.place(output, path.read_text("utf-8"), force=force)
        path = output
    if json:
        console.document({"id": made.record.id, "verdict": made.verdict, "report": str(path)})
    else:
        console.verdict(made.verdict, made.sentence)
        console.line(path)
    if open_ and not webbrowser.open(path.resolve().as_uri()):
        console.remark("No browser could be opened; open the file above by hand.")
