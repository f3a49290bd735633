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
        PlanError: there is no such generator, or it has no such setting.
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
    first = {"seed": seed} if "seed" in inspect.signature(kind).parameters else {}
    return kind(**first, **settings), known_ones[reference]
