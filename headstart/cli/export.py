"""Write a run's model for timm, transformers, PEFT or torchvision."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api

SHOWN = (3, "Make and use a model")
Name = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, its beginning, 'last', or its folder.")
]
Place = Annotated[Path, typer.Argument(metavar="FOLDER", help="New or empty.")]
To = Annotated[
    str,
    typer.Option("--to", metavar="LIBRARY", help="auto, timm, transformers, peft or torchvision."),
]
Base = Annotated[
    str,
    typer.Option(
        "--base",
        metavar="NAME",
        help="With peft: how transformers opens the base, a hub name or folder.",
    ),
]
For = Annotated[
    list[str] | None,
    typer.Option(
        "--for",
        metavar="USE",
        help="share, commercial or modify: refused where a licence does not grant it.",
    ),
]
Output = Annotated[str, typer.Option("--runs", metavar="FOLDER", help="Folder of runs.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use no network.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def verb(
    run: Name,
    folder: Place,
    to: To = "auto",
    base: Base = "",
    for_: For = None,
    runs: Output = "",
    offline: Offline = False,
    json: Json = False,
) -> None:
    """Write a run's model as a folder that another library loads, with its licences.

    What the library loads is compared with the run's own outputs first; where they differ nothing is written.
    """
    made = api.export(run, folder, to=to, base=base, uses=for_ or (), output=runs, offline=offline)
    if json:
        console.document(
            {"folder": str(made.folder), "to": made.to, "gap": made.gap, "checked": made.checked}
        )
        return
    console.say(f"Written for {made.to}; largest difference of an output: {made.gap:.2g}.", "green")
    console.line(f"folder: {made.folder}")
