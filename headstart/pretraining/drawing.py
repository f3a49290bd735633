"""Making generators: files of `generators/` that draw samples by formula."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from headstart.core import plugins
from headstart.errors import PlanError, nearest
from headstart.generators import listed


def open_generator(reference: str, settings: Mapping[str, Any], seed: int) -> tuple[Any, str]:
    """The generator of that name with its settings, and the modality that it names.

    Raises:
        PlanError: there is no such generator, it has no such setting, or none so small or large.
    """
    known_ones = listed()
    if reference not in known_ones:
        raise PlanError(f"There is no generator '{reference}'. {nearest(reference, known_ones)}")
    kind = plugins.load("generator", reference).GENERATOR
    known = [n for n in inspect.signature(kind).parameters if n != "seed"]
    for name in settings:
        if name not in known:
            raise PlanError(
                f"The generator '{reference}' has no setting '{name}'. {nearest(name, known)}"
            )
        _inside(reference, name, settings[name], getattr(kind, "bounds", {}).get(name))
    first = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    return kind(**first, **settings), known_ones[reference]


def _inside(reference: str, name: str, value: Any, bounds: tuple[float, float] | None) -> None:
    """Raises PlanError where a setting is no number within its bounds."""
    if bounds is None:
        return
    least, most = bounds
    if not isinstance(value, (int, float)) or not least <= value <= most:
        raise PlanError(
            f"The setting '{name}' of the generator '{reference}' came as {value}. Expected a number from "
            f"{least:g} to {most:g}."
        )
