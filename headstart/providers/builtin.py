"""`builtin:NAME`: sources that come with the package or with a library beside it; no network.

The catalogue entry (a modality's `sources.toml`) says where: `weights:NAME` is a file or a model folder
shipped in `headstart/weights/`, `package:PACKAGE/PATH` a model folder inside an installed package,
`formula:NAME` a network drawn from a seed. What may be set of such a network is in the entry's `settings`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from headstart.core import plugins
from headstart.core.source import Loaded, Source
from headstart.errors import MissingExtra, PlanError, SourceError, nearest

NEEDS = ("build",)
FACTS = ("licence", "trained_on", "data_licence", "paper", "revision")


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
    build: Any = None,
) -> Loaded:
    """Opens the source that `entry` describes.

    Args:
        build: the modality's own `build`, handed on to the provider of files.

    Raises:
        SourceError: there is no such entry for this kind of data.
        MissingExtra: the package that carries the weights is not installed.
        PlanError: a setting that a formula does not take, or its value.
    """
    if entry is None:
        raise SourceError(
            f"There is no built-in source '{reference}' for this kind of data. "
            "`headstart sources` lists what there is."
        )
    kind, _, place = str(entry["location"]).partition(":")
    if kind == "formula":
        return _formula(entry, place, settings)
    path = _shipped(place) if kind == "weights" else _package(place)
    provider: Any = plugins.load("provider", str(entry["opens"]))
    own = {"build": build} if "build" in getattr(provider, "NEEDS", ()) else {}
    loaded: Loaded = provider.open(str(path), settings, offline=True, entry=entry, **own)
    facts = {k: str(entry[k]) for k in FACTS}
    source = dataclasses.replace(loaded.source, uri=entry["uri"], name=entry["name"], **facts)
    return dataclasses.replace(loaded, source=source)


def _shipped(name: str) -> Path:
    place = Path(str(files("headstart").joinpath("weights", name)))
    return place if place.is_dir() else place.with_name(f"{name}.safetensors")


def _package(place: str) -> Path:
    package, _, inner = place.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            f"The source needs the package '{package.replace('_', '-')}', which is not installed. "
            f"Install it with: pip install {package.replace('_', '-')}"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inner


def _formula(entry: Mapping[str, Any], recipe: str, settings: Mapping[str, str]) -> Loaded:
    """A network that the modality itself draws; the provider only says which and from which seed."""
    made = {k: v for k, v in entry.items() if k not in ("uri", "location", "settings")}
    chosen = _chosen(entry, settings)
    source = Source(
        uri=str(entry["uri"]),
        name=str(entry["name"]),
        family=str(entry["family"]),
        revision=str(entry["revision"]),
        sha256=str(entry["sha256"]),
        licence=str(entry["licence"]),
        trained_on=str(entry["trained_on"]),
        data_licence=str(entry["data_licence"]),
        parents=(),
        paper=str(entry["paper"]),
        parameters=0,
        preprocessing={**made, **chosen},
    )
    config = {"library": "headstart", "architecture": recipe, **chosen}
    return Loaded(source, nn.Identity(), config, None)


def _chosen(entry: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """Every setting of a formula, as it was given or by default.

    The entry declares them, name -> {default, least, most}; where the default is a number, a whole one
    between the two is expected. Raises PlanError.
    """
    known = entry.get("settings", {})
    chosen = {name: told["default"] for name, told in known.items()}
    for name, value in settings.items():
        if name not in known:
            raise PlanError(f"Unknown setting '{name}' of {entry['uri']}. {nearest(name, known)}")
        if isinstance(chosen[name], str):
            chosen[name] = value
            continue
        least, most = known[name]["least"], known[name]["most"]
        try:
            chosen[name] = int(value)
        except ValueError:
            chosen[name] = None
        if chosen[name] is None or not least <= chosen[name] <= most:
            raise PlanError(
                f"The setting '{name}' of {entry['uri']} came as '{value}'. Expected a whole number "
                f"from {least} to {most}."
            )
    return chosen
