"""Find the stored rows that are nearest to others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli import _groups as groups
from headstart.cli import _options as o
from headstart.cli import _tables as tables
from headstart.cli._progress import watcher
from headstart.errors import DataError
from headstart.report import text

SHOWN = (4, "Make and use a model")

Where = Annotated[
    str,
    typer.Argument(
        metavar="RUN|DATA",
        help="A run's id, its beginning, 'last', its folder; or data, unlabelled too.",
    ),
]
Queries = Annotated[list[str], typer.Argument(metavar="QUERY...", help="Files, tables or texts.")]
Count = Annotated[int, typer.Option("-k", metavar="N", help="Nearest rows of each query.")]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Distance: cosine or euclidean.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="CSV file of the nearest rows."),
]
Page = Annotated[
    Path | None, typer.Option("--page", metavar="FILE", help="HTML page that shows them.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


def verb(
    where: Where,
    queries: Queries,
    k: Count = 5,
    by: By = "cosine",
    source: o.Source = None,
    target: o.Target = None,
    inputs: o.Input = None,
    modality: o.Modality = None,
    store: o.Store = None,
    offline: o.Offline = False,
    output: Output = None,
    page: Page = None,
    force: Force = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Find the rows that are nearest to others by a source's stored features.

    Of a run, these are its training rows, and the source is the run's own.
    """
    for path in (output, page):
        tables.refuse(path, force)
    with watcher(quiet=quiet) as told:
        if _is_data(where):
            found = api.similar(groups.plan(where, locals()), queries, k, by=by, watcher=told)
        else:
            found = api.open_run(where).similar(queries, k, by=by, watcher=told)
    columns, rows = found.table()
    if output:
        tables.write(output, columns, rows, force=force)
    if page:
        tables.place(page, groups.page("similar", found), force=force)
    if json:
        listed = [dict(zip(columns, row, strict=True)) for row in rows]
        bad = [console.plain(b) for b in found.bad]
        facts = {"source": found.source, "by": found.by, "neighbours": listed, "bad": bad}
        console.document(facts)
    elif not output:
        _print(columns, rows)
    for path in (output, page):
        if path and not json:
            console.line(path)
    _complain(found)


def _is_data(where: str) -> bool:
    """Whether this is a path of data, not a run."""
    path = Path(where)
    return path.exists() and not (path / "run.json").exists() and path.name != "run.json"


def _print(columns: list[str], rows: list[list[Any]]) -> None:
    """A table on a terminal, CSV in a pipe."""
    if not sys.stdout.isatty():
        tables.send(sys.stdout, columns, rows)
        return
    place = columns.index("distance")
    shown = [[*r[:place], text.plain(r[place]), *r[place + 1 :]] for r in rows]
    console.table(columns, shown, (1, 2, place))


def _complain(found: Any) -> None:
    """Says which queries could not be read. Raises DataError where none could."""
    if not found.bad:
        return
    told = "; ".join(f"{b.name}: {b.reason} ({b.remedy})" for b in found.bad[:3])
    sentence = f"{text.counted(len(found.bad), 'input')} could not be read. {told}."
    if not found.queries:
        raise DataError(sentence)
    console.remark(sentence)
