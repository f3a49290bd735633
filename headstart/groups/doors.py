"""What `headstart.cluster` and `headstart.similar` are: from a person's arguments to a result."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.core import plan as plans
from headstart.core.plan import Plan
from headstart.core.run import Watcher
from headstart.core.task import Columns
from headstart.errors import PlanError
from headstart.groups import neighbours
from headstart.groups.clustering import Ask
from headstart.groups.clusters import Clusters
from headstart.groups.clusters import cluster as clusters_of
from headstart.groups.neighbours import Similar
from headstart.groups.stored import open_stored
from headstart.job import Given
from headstart.options import place


def cluster(
    data: Any,
    labels: Sequence[Any] | None = None,
    *,
    method: str = "kmeans",
    clusters: int = 0,
    choose: str = "silhouette",
    source: str = "auto",
    columns: Columns | Mapping[str, Any] | None = None,
    seed: int = 0,
    watcher: Watcher | None = None,
    **options: Any,
) -> Clusters:
    """Clusters of rows by a source's stored features; nothing is trained, labels form no cluster.

    Args:
        data: a folder of files, a CSV, Parquet or JSONL file, or inputs in memory.
        labels: of inputs in memory; None where a row has none. In files a column is named as the target.
        method: "kmeans", "spectral" or "hdbscan".
        clusters: how many; 0: chosen.
        choose: how, "silhouette" or "stability".
        source: "auto", or SCHEME:REFERENCE.
        columns: which columns play which part (target: the labels, inputs ...).
        options: any setting of `Task` or `Engine` by its name, and `offline`.

    Raises:
        UserError: with what came, what was expected and what to do.
    """
    ask = Ask(method, clusters, choose, seed)
    plan, given = _opened(data, labels, source, columns, options)
    return clusters_of(plan, given, ask, watcher)


def similar(
    data: Any,
    inputs: Any,
    k: int = 5,
    *,
    labels: Sequence[Any] | None = None,
    by: str = "cosine",
    source: str = "auto",
    columns: Columns | Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Similar:
    """The k rows of `data` that are nearest to each input by a source's stored features.

    Args:
        data, labels, source, columns, options: as for `cluster`.
        inputs: files, texts, or rows with the fields of the data.
        by: "cosine" or "euclidean".

    Raises:
        UserError: with what came, what was expected and what to do.
    """
    plan, given = _opened(data, labels, source, columns, options)
    return neighbours.similar(open_stored(plan, given, watcher), listed(inputs), k, by)


def listed(inputs: Any) -> Any:
    """One text or path as a list of one."""
    return [inputs] if isinstance(inputs, (str, Path)) else inputs


def _opened(
    data: Any,
    labels: Sequence[Any] | None,
    source: str,
    columns: Columns | Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> tuple[Plan, Given | None]:
    """A plan that trains nothing, and what was handed over."""
    if isinstance(data, Plan):
        return data, None
    on_disk = isinstance(data, (str, Path))
    task: dict[str, Any] = {"columns": columns or {}}
    if on_disk:
        task["data"] = os.fspath(data)
        if labels is not None:
            raise PlanError(
                "Labels came beside a path. Name their column instead: columns={'target': NAME}."
            )
    values: dict[str, Any] = {"task": task, "source": {"uri": source}, "engine": {}}
    place(values, options)
    plan = plans.build(Plan, values)
    return plan, None if on_disk else Given(data, list(labels if labels is not None else ()))
