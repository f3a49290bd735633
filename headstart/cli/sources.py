"""List the pretrained models that can be used."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli._options import one_of
from headstart.core import plugins

SHOWN = (20, "Find and tidy")
COLUMNS = ("uri", "modality", "licence", "trained_on")
Modality = Annotated[
    str,
    typer.Option(
        "--modality", metavar="NAME", help="Only those for one kind of data.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def verb(modality: Modality = "", json: Json = False) -> None:
    """List the pretrained models in the catalogue, the default of each kind of data first."""
    if modality:
        one_of("modality", modality, plugins.names("modality"))
    found = api.sources(modality)
    if json:
        console.document(found)
        return
    known = [c for c in COLUMNS if any(entry.get(c) for entry in found)]
    console.table(
        [c.replace("_", " ") for c in known], [[entry.get(c, "") for c in known] for entry in found]
    )
