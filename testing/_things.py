"""What the suites share: tiny data, staged networks, and how checks are listed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import plugins
from headstart.core.dataset import Dataset, Sample
from headstart.core.modality import Transform
from headstart.core.network import Backbone
from headstart.core.source import Loaded
from headstart.core.task import Task
from headstart.data.opening import open_data
from headstart.errors import MissingExtra
from headstart.loading import load

Check = Callable[[str], None]

ROWS = 48
TINY = "tiny"


class Breach(AssertionError):
    """A plug-in breaks its contract; the message says which promise."""


def expect(holds: bool, promise: str) -> None:
    """Raises Breach with the promise unless it holds."""
    if not holds:
        raise Breach(promise)


def listed(module: Mapping[str, Any]) -> Iterator[tuple[str, Check]]:
    """Name and function of every `check_*` in a suite's namespace."""
    for name, function in sorted(module.items()):
        if name.startswith("check_"):
            yield name, function


@cache
def folder() -> Path:
    """A folder of this process, removed when it ends."""
    path = Path(tempfile.mkdtemp(prefix="headstart-suites-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def dataset(modality: str, outcome: str, rows: int = ROWS, seed: int = 0) -> Dataset:
    """What the modality's `tiny.write` wrote, read back through its reader."""
    parts = plugins.Modality(modality)
    place = folder() / f"{modality}-{outcome}-{rows}-{seed}"
    path = parts.tiny.write(place, outcome, rows, seed)
    task = Task(data=str(path), outcome=outcome, modality=modality)
    made: Dataset = open_data(task, {modality: parts.read}, cache=folder() / "cache")
    return made


def samples(data: Dataset, rows: int = ROWS) -> list[Sample]:
    """The first samples of a dataset."""
    return list(data.samples(np.arange(min(rows, len(data)))))


@dataclass(frozen=True)
class Staged:
    """A source, staged, with tiny data for it.

    Attributes:
        inputs: model inputs of the first rows, of different length where the modality has any.
        singles: the same rows, one by one.
        shapes: of the module's tensors as the provider handed them over; staging may take parts off.
    """

    modality: plugins.Modality
    loaded: Loaded
    transform: Transform
    backbone: Backbone
    inputs: dict[str, Tensor]
    singles: list[dict[str, Tensor]]
    shapes: dict[str, torch.Size]


@cache
def staged(thing: str, rows: int = 5) -> Staged:
    """Stages "MODALITY/tiny", or "MODALITY/builtin:NAME" from its catalogue, in eval mode."""
    name, _, uri = thing.partition("/")
    modality = plugins.Modality(name)
    loaded = modality.tiny.loaded(0) if uri == TINY else open_entry(modality, uri)
    data = dataset(name, "classify")
    transform = modality.batch.make(loaded.source.preprocessing, data.fields, samples(data))
    items = [transform(s) for s in samples(data, rows)]
    shapes = {n: t.shape for n, t in loaded.module.state_dict().items()}
    backbone = modality.backbones.stage(loaded, transform).eval()
    return Staged(
        modality,
        loaded,
        transform,
        backbone,
        transform.collate(items),
        [transform.collate([item]) for item in items],
        shapes,
    )


def open_entry(modality: plugins.Modality, uri: str) -> Loaded:
    """A built-in source through its provider."""
    return load(uri, modality, offline=True)


@cache
def sources() -> tuple[str, ...]:
    """The tiny network and the built-in sources of every modality whose libraries are installed."""
    found = []
    for name in plugins.names("modality"):
        try:
            modality = plugins.Modality(name)
            _ = modality.tiny
            entries = [str(e["uri"]) for e in modality.catalogue()]
        except MissingExtra:
            continue
        found += [f"{name}/{TINY}"]
        found += [f"{name}/{uri}" for uri in entries if uri.startswith("builtin:")]
    return tuple(found)


def close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two tensors agree within `tolerance`, absolute, or relative where values exceed 1."""
    if first.shape != second.shape:
        return False
    scale = max(1.0, float(second.abs().max())) if second.numel() else 1.0
    return bool(torch.allclose(first, second, rtol=0.0, atol=tolerance * scale))


def passing(backbone: Backbone) -> Backbone:
    """Norms of random networks may begin at zero, so that a block passes nothing on and nothing inside it can
    train; they get a scale, as training would give them."""
    with torch.no_grad():
        for module in backbone.modules():
            scale = getattr(module, "weight", None)
            if hasattr(module, "running_mean") and scale is not None and not scale.any():
                scale.fill_(0.5)
    return backbone
