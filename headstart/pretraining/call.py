"""`headstart.pretrain`: flat arguments to an `Ask`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.core import plan as plans
from headstart.core.run import Watcher
from headstart.core.source import UNKNOWN
from headstart.core.task import Columns
from headstart.errors import PlanError
from headstart.job import Given
from headstart.pretraining import door
from headstart.pretraining.ask import AUTO, Ask
from headstart.pretraining.door import Pretrained


def pretrain(
    data: Any,
    labels: Sequence[Any] | Mapping[str, Sequence[Any]] | None = None,
    *,
    objective: str = AUTO,
    architecture: str = "",
    from_: str = "",
    output: str | Path = "",
    epochs: int | None = None,
    rate: float | None = None,
    batch: int = 0,
    seed: int = 0,
    licence: str = UNKNOWN,
    settings: Mapping[str, Any] | None = None,
    columns: Columns | Mapping[str, Any] | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Pretrained:
    """Pre-trains a network on data, mostly unlabelled, or goes on with a source's; writes a new source.

    Args:
        data: folder of files, table, "generator:NAME", or inputs in memory.
        labels: of inputs in memory, a column or several by name; objectives that need none read off them
            how far the features have come.
        objective: a file name of `objectives/`; "auto": "clip" where captions are named, "supervised" for a
            generator with labels, else "simclr".
        architecture: of a new network ("resnet18?input_size=64"); "": the modality's own.
        from_: URI of a source to go on from, instead of a new network.
        output: folder of the source; "": below headstart-sources/.
        epochs, rate: None: the objective's own.
        batch: 0: it follows from the number of samples.
        licence: of the new source; "unknown" unless it is stated.
        settings: of the objective.
        columns: which columns play which part (target, inputs ...).
        options: modality, labels_in (columns of labels beside the target), samples (of a generator, an
            epoch), device, offline; of "clip" caption (column of captions; found, if not named) and
            caption_source (URI of what encodes them; "auto": the default of their kind of data).

    Raises:
        UserError: with what came, what was expected and what to do; nothing was written.
    """
    ask, given = asked(
        data,
        labels,
        objective=objective,
        architecture=architecture,
        source=from_,
        output=os.fspath(output),
        epochs=epochs,
        rate=rate,
        batch=batch,
        seed=seed,
        licence=licence,
        settings=settings or {},
        columns=columns or {},
        **options,
    )
    return door.pretrain(ask, given, watcher)


def rehearse(data: Any, labels: Any = None, **options: Any) -> Mapping[str, Any]:
    """What `pretrain` would do with the same arguments. Nothing is trained or written."""
    ask, given = asked(data, labels, **options)
    return door.rehearse(ask, given)


def asked(data: Any, labels: Any = None, **options: Any) -> tuple[Ask, Given | None]:
    """The request, and what was handed over in memory. Raises PlanError."""
    settings = dict(options.pop("settings", {}))
    for name in ("epochs", "rate"):
        value = options.pop(name, None)
        settings |= {name: value} if value is not None else {}
    options["labels"] = tuple(options.pop("labels_in", ()))
    said = {"column": options.pop("caption", ""), "source": options.pop("caption_source", AUTO)}
    options["captions"] = said
    if "from_" in options:
        options["source"] = options.pop("from_")
    on_disk = isinstance(data, (str, Path))
    if on_disk and labels is not None:
        raise PlanError(
            "Labels came beside a path. Name their column instead: columns={'target': NAME}."
        )
    values = {"data": os.fspath(data) if on_disk else "", "settings": settings, **options}
    ask = plans.build(Ask, values)
    if on_disk:
        return ask, None
    if isinstance(labels, Mapping):
        return ask, Given(data, (), {k: list(v) for k, v in labels.items()})
    return ask, Given(data, list(labels if labels is not None else ()))
