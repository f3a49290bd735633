"""Generator: a file of `generators/` that draws samples by formula.

A file is one when it has a class with `draw(count, rng)` as below, which takes `seed` as its first argument.
The module may say in `MODALITY` for which kind of data it draws; otherwise readers are asked, see `drawn` of
`headstart.core.reader.Read`. Other files of the folder are what generators are made of.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Protocol

import torch

from headstart.core import plugins
from headstart.errors import MissingExtra, PlanError, nearest

PLACES = ("self", "count", "rng")


class Generator(Protocol):
    """Draws batches; classes and settings are fixed by its seed.

    Optional: `groups`, the number of classes of each column of labels.
    """

    def draw(self, count: int, rng: torch.Generator) -> tuple[Any, Any]:
        """Samples (count, ...), and labels (count,) or (count, groups) int64, -100 where a sample has none;
        or None where there are no labels. The same state of `rng` draws the same bytes."""
        ...


def names() -> tuple[str, ...]:
    """Files of `generators/` that are generators. Imports them."""
    return tuple(name for name in plugins.names("generator") if _able(name))


def _able(name: str) -> bool:
    try:
        return made_in(plugins.load("generator", name)) is not None
    except MissingExtra:
        return False


def made_in(module: ModuleType) -> type | None:
    """The class of a module that draws, or None."""
    for value in vars(module).values():
        if not inspect.isclass(value) or value.__module__ != module.__name__:
            continue
        draw = getattr(value, "draw", None)
        if draw is not None and tuple(inspect.signature(draw).parameters)[:3] == PLACES:
            return value
    return None


def open_generator(reference: str, settings: Mapping[str, Any], seed: int) -> tuple[Any, str]:
    """The generator of that name with its settings, and the modality that it names, or "".

    Raises:
        PlanError: there is no such generator, or it has no such setting.
    """
    kind = None
    if reference in plugins.names("generator"):
        kind = made_in(plugins.load("generator", reference))
    if kind is None:
        raise PlanError(f"There is no generator '{reference}'. {nearest(reference, names())}")
    known = [n for n in inspect.signature(kind).parameters if n != "seed"]
    for name in settings:
        if name not in known:
            raise PlanError(
                f"The generator '{reference}' has no setting '{name}'. {nearest(name, known)}"
            )
    modality = getattr(plugins.load("generator", reference), "MODALITY", "")
    return kind(seed, **settings), str(modality)
