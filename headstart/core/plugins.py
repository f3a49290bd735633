"""Finding plug-ins by file name, without importing any of them.

A file `headstart/strategies/linear_probe.py` is the strategy `linear_probe`; a folder
`headstart/modalities/image/` is the modality `image`. A name that starts with an underscore is
private to its folder. Other packages add theirs through entry points of the group
`headstart.<kind>`, each pointing to a module (for a modality, to a package).
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from headstart.errors import MissingExtra, PlanError, nearest

PACKAGES = {
    "modality": "headstart.modalities",
    "provider": "headstart.providers",
    "strategy": "headstart.strategies",
    "objective": "headstart.objectives",
    "generator": "headstart.generators",
    "head": "headstart.heads",
    "evidence": "headstart.evidence",
    "executor": "headstart.engine.executors",
}


def _folder(kind: str) -> str:
    if kind not in PACKAGES:
        raise PlanError(f"There is no kind of plug-in called '{kind}'. {nearest(kind, PACKAGES)}")
    return PACKAGES[kind]


def _own(kind: str) -> set[str]:
    spec = importlib.util.find_spec(_folder(kind))
    places = list(spec.submodule_search_locations or ()) if spec else []
    return {m.name for m in pkgutil.iter_modules(places) if not m.name.startswith("_")}


@cache
def _foreign(kind: str) -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=f"headstart.{kind}")}


def names(kind: str) -> tuple[str, ...]:
    """All registered names of a kind, sorted. Imports none of them."""
    return tuple(sorted(_own(kind) | set(_foreign(kind))))


def load(kind: str, name: str, part: str = "") -> ModuleType:
    """Imports one plug-in, or one part of it (`part="read"` of a modality).

    Raises:
        PlanError: no plug-in of that name; the nearest names are offered.
        MissingExtra: the plug-in needs a library that is not installed.
    """
    if name in _own(kind):
        path = f"{_folder(kind)}.{name}"
    elif name in _foreign(kind):
        path = _foreign(kind)[name].value
    else:
        raise PlanError(f"Unknown {kind} '{name}'. {nearest(name, names(kind))}")
    path = f"{path}.{part}" if part else path
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("headstart") or path.startswith(error.name):
            raise
        raise MissingExtra(
            f"{kind} '{name}' needs the library '{error.name}', which is not installed. "
            f"Install it with: pip install 'headstart[{name}]'"
        ) from error


class Modality:
    """One modality folder; its parts are imported when first touched.

    Parts: `read`, `batch`, `backbones`, `show`, `champion`, `tiny`; each obeys the protocol of
    `headstart.core.modality`.
    """

    PARTS = ("read", "batch", "backbones", "show", "champion", "tiny")

    def __init__(self, name: str) -> None:
        self.name = name
        self._package = load("modality", name)

    def __getattr__(self, part: str) -> Any:
        if part not in self.PARTS:
            raise AttributeError(f"A modality has {', '.join(self.PARTS)}; not '{part}'.")
        return load("modality", self.name, part)

    def catalogue(self) -> list[dict[str, Any]]:
        """Entries of the modality's `sources.toml`, best default first."""
        import tomllib
        from importlib.resources import files

        text = files(self._package).joinpath("sources.toml").read_text("utf-8")
        return list(tomllib.loads(text)["source"])
