"""Predict new rows with the model of a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli import _tables as tables
from headstart.cli._progress import watcher
from headstart.errors import DataError, PlanError
from headstart.report import text

SHOWN = (2, "Make and use a model")
MOST = 40  # rows printed on a terminal

Name = Annotated[
    str,
    typer.Argument(
        metavar="RUN|PACK",
        help="A run's id, its beginning, 'last', its folder, or a pack's folder.",
    ),
]
Inputs = Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders or tables.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="CSV file of predictions.")
]
Bad = Annotated[
    Path | None,
    typer.Option(
        "--bad",
        metavar="FILE",
        help="CSV file of the rows that could not be read; beside --output by default.",
    ),
]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="A column p_CLASS for every class.")
]
Scope = Annotated[
    bool,
    typer.Option(
        "--scope", help="Columns: how far a row lies outside the known classes; marked or not."
    ),
]
Champion = Annotated[
    bool,
    typer.Option(
        "--champion",
        help="Predict with the simple model that the run was compared with: it is fitted again on its data.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


def verb(
    run: Name,
    inputs: Inputs,
    output: Output = None,
    bad: Bad = None,
    probabilities: Probabilities = False,
    scope: Scope = False,
    champion: Champion = False,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict new rows with the model of a run.

    Without --output the rows go to the terminal, or as CSV into a pipe. In the CSV a text that a spreadsheet
    would read as a formula (it begins with = + - @ or a tab) has an apostrophe before it.
    """
    aside = bad or (output.with_name(f"{output.stem}.bad.csv") if output else None)
    for path in (output, aside):
        tables.refuse(path, force)
    with watcher(quiet=quiet) as told:
        given = inputs[0] if len(inputs) == 1 else list(inputs)
        asked = {k: True for k, on in (("scope", scope), ("champion", champion)) if on}
        found = _predictor(run, champion).predict(given, told, **asked)
    columns, rows = tables.predicted(found, probabilities or output is not None)
    if output:
        tables.write(output, columns, rows, force=force)
    if aside and found.bad:
        tables.write(
            aside, tables.BAD, [[b.name, b.reason, b.remedy] for b in found.bad], force=force
        )
    if json:
        console.document(tables.as_document(found))
    elif output:
        console.line(f"{tables.amount(found)}: {output}")
    else:
        _print(found, columns, rows)
    _complain(found, aside)


def _predictor(name: str, champion: bool = False) -> Any:
    """The model of a run, or of a pack that was copied away from its run. Raises PlanError."""
    folder = Path(name)
    if folder.is_dir() and not (folder / "run.json").exists() and any(folder.glob("pack*")):
        if champion:
            raise PlanError(
                f"{folder} is a pack, which holds no simple model. Name its run instead."
            )
        return api.open_pack(folder)
    return api.open_run(name)


def _print(found: Any, columns: list[str], rows: list[list[Any]]) -> None:
    """A table on a terminal, CSV in a pipe."""
    if not sys.stdout.isatty():
        tables.send(sys.stdout, columns, rows)
        return
    shares = [
        k
        for k, c in enumerate(columns)
        if c in ("confidence", "scope_score", "out_of_scope") or c.startswith("p_")
    ]
    shown = [
        [_cell(columns[k], v) if k in shares else _word(v) for k, v in enumerate(row)]
        for row in rows[:MOST]
    ]
    console.table(columns, shown, shares)
    if len(rows) > MOST:
        console.say(f"... and {len(rows) - MOST} more; --output FILE.csv writes all of them.")


def _cell(column: str, value: Any) -> str:
    """A score as it is, a probability as a share."""
    if isinstance(value, str):
        return value
    return text.plain(value) if column == "scope_score" else text.number(value, "share")


def _word(value: Any) -> str:
    return text.plain(float(value), 4) if isinstance(value, float) else str(value)


def _complain(found: Any, aside: Path | None) -> None:
    """Says what was odd, and which rows could not be read. Raises DataError where none could."""
    for note in found.notes:
        console.remark(note)
    if not found.bad:
        return
    told = "; ".join(f"{b.name}: {b.reason} ({b.remedy})" for b in found.bad[:3])
    where = (
        f" All are listed in {aside}."
        if aside
        else " --bad FILE.csv lists all of them."
        if len(found.bad) > 3
        else ""
    )
    sentence = f"{text.counted(len(found.bad), 'row')} could not be read. {told}.{where}"
    if not found.names:
        raise DataError(sentence)
    console.remark(sentence)
