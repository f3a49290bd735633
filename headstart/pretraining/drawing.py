"""Finding generators: files of `generators/` that draw samples by formula.

Such a file names its class in `GENERATOR`, or has one with `draw(count, rng)`; `MODALITY` says for which kind
of data it draws, otherwise readers are asked (`drawn` of `headstart.core.reader.Read`). Other files of the
folder are what generators are made of.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from headstart.core import plugins
from headstart.errors import MissingExtra, PlanError, nearest

PLACES = ("self", "count", "rng")


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
    named = getattr(module, "GENERATOR", None)
    if named is not None:
        return named  # type: ignore[no-any-return]
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
    first = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    return kind(**first, **settings), str(modality)
