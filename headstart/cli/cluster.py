"""Group rows by stored features, without training."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart.cli import _console as console
from headstart.cli import _face as api
from headstart.cli import _groups as groups
from headstart.cli import _options as o
from headstart.cli import _tables as tables
from headstart.cli._progress import watcher
from headstart.errors import StorageError
from headstart.report import text

SHOWN = (3, "Make and use a model")
FOLDER = "headstart-clusters"

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="A folder of files; a CSV, Parquet or JSONL file; or a plan."
    ),
]
Method = Annotated[
    str, typer.Option("--method", metavar="NAME", help="kmeans, spectral or hdbscan.")
]
Count = Annotated[
    int, typer.Option("--clusters", "-k", metavar="N", help="How many; 0: chosen, said how.")
]
Choose = Annotated[
    str, typer.Option("--choose", metavar="NAME", help="By silhouette or stability, where chosen.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FOLDER", help="Folder of the result.", show_default=False
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")]


def verb(
    data: Data,
    source: o.Source = None,
    method: Method = "kmeans",
    clusters: Count = 0,
    choose: Choose = "silhouette",
    target: o.Target = None,
    inputs: o.Input = None,
    modality: o.Modality = None,
    profile: o.Profile = None,
    seed: o.Seed = None,
    store: o.Store = None,
    offline: o.Offline = False,
    output: Output = None,
    force: Force = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Group rows by a source's stored features; nothing is trained.

    Labels (class folders, or the column that --target names) form no cluster: they serve to measure how far
    the clusters follow them. Writes clusters.csv (row, name, cluster, cluster_name, distance) and
    clusters.html.
    """
    plan = groups.plan(data, locals())
    folder = output or Path(FOLDER) / f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
    _make(folder)
    for name in ("clusters.csv", "clusters.html"):
        tables.refuse(folder / name, force)
    with watcher(quiet=quiet) as told:
        found = api.cluster(
            plan, method=method, clusters=clusters, choose=choose, seed=plan.seed, watcher=told
        )
    columns, rows = found.table()
    tables.write(folder / "clusters.csv", columns, rows, force=force)
    tables.place(folder / "clusters.html", groups.page("clusters", found), force=force)
    if json:
        console.document(_document(found, folder))
    else:
        _show(found, folder, quiet=quiet)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror or error}.") from error


def _document(found: Any, folder: Path) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "source": found.source,
        "method": found.method,
        "how": found.how,
        "clusters": [console.plain(c) for c in found.clusters],
        "measures": [console.plain(m) for m in found.measures],
        "missing": [{"what": what, "reason": why} for what, why in found.missing],
        "notes": found.notes,
        "set_aside": [console.plain(b) for b in found.set_aside],
    }


def _show(found: Any, folder: Path, *, quiet: bool) -> None:
    console.say(found.how)
    if not quiet:
        rows = [
            [c.number or "none", c.name, c.rows, text.plain(c.distance)] for c in found.clusters
        ]
        console.table(["cluster", "name", "rows", "mean distance"], rows, (0, 2, 3))
        if found.measures:
            console.say()
            console.table(
                ["agreement with labels", "of", "value", "95 % interval", "rows"],
                [
                    [m.name, m.group or f"over {m.baseline}", *text.measured(m), m.n]
                    for m in found.measures
                ],
                (2, 3, 4),
            )
        for what, why in found.missing:
            console.say(f"Not measured: {what}: {why}.")
        if found.set_aside:
            console.say(
                f"{text.counted(len(found.set_aside), 'row')} set aside; the page says why."
            )
    console.line(f"table: {folder / 'clusters.csv'}")
    console.line(f"page: {folder / 'clusters.html'}")
