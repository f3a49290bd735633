"""`run:NAME`: the network that an earlier run has adapted, as the source of the next one.

    run:last                        the newest run in ./headstart-runs
    run:20261121-101500-3fa2        a run by its id, or the beginning of it; `?output=FOLDER` looks elsewhere
    run:experiments/20261121-...    a run's folder

The source of that run is recorded as a parent, with its licence and its own parents. A run that trained a
head alone has left its source as it was, and that is what is opened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from headstart.core import digest
from headstart.core.licence import said
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.providers import _inputs as inputs

NEEDS = ("reopen",)
TOLD = ("uri", "name", "revision", "sha256", "licence", "trained_on", "data_licence", "parents")
CHECKED = ("the run's pack: SHA-256 of every file", "the run's source: digest of its tensors")


def _data_licence(record: Any) -> str:
    """Of the run's data, as its chain has it; else as its task says."""
    links = record.facts.get("licences", ())
    told = [link["licence"] for link in links if link.get("what") == "data of the task"]
    return said(told[0] if told else record.plan.task.card.data_licence)


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
    reopen: Callable[[str, str], Any] | None = None,
) -> Loaded:
    """Opens a run's backbone.

    Args:
        reference: id, beginning of an id, "last", or folder.
        settings: `output`, the folder of runs.
        reopen: (reference, output) -> `headstart.loading.Earlier`.

    Raises:
        SourceError: no such run, or one of another kind of data.
        DamagedError: the run, or the source that it was made of, is not what it was.
    """
    inputs.known(settings, ("output",))
    if reopen is None:
        raise SourceError("A run can only be opened where runs are kept: by headstart's own doors.")
    earlier = reopen(reference, settings.get("output", ""))
    base: Loaded = earlier.base
    source, record = base.source, earlier.record
    facts = {"licence": source.licence, "trained_on": source.trained_on}
    facts["data_licence"] = source.data_licence
    if earlier.changed:
        facts = {
            "licence": "own",
            "trained_on": _learned(record, source.trained_on),
            "data_licence": _data_licence(record),
        }
    module = base.module.eval()
    made = dataclasses.replace(
        source,
        uri=f"run:{earlier.folder.resolve()}",
        name=f"run {record.id}",
        revision=record.id,
        sha256=digest.tensors(module.state_dict().items()),
        parents=({name: getattr(source, name) for name in TOLD},),
        parameters=int(getattr(module, "frozen_parameters", 0))
        + sum(p.numel() for p in module.parameters()),
        **facts,
    )
    return dataclasses.replace(base, source=made, module=module, checked=(*base.checked, *CHECKED))


def _learned(record: Any, before: str) -> str:
    """What a run's network learned from: its data, and what came before unless it began with nothing."""
    what = record.plan.task.data.rstrip("/").rpartition("/")[2] or "arrays in memory"
    moved = record.facts.get("transferred") is not False
    return f"{what}, in the run {record.id}" + (
        f"; before that: {before}" if moved else ", from random weights"
    )
