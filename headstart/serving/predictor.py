"""A pack at work: the base reopened and checked, the head put on, samples in, predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.core import digest, plugins
from headstart.core.dataset import SetAside
from headstart.core.modality import Transform
from headstart.core.network import Network
from headstart.core.run import Watcher
from headstart.core.source import Loaded
from headstart.data import opening
from headstart.data.dataset import ArrowDataset
from headstart.data.windows import Windows
from headstart.engine import device as devices
from headstart.engine import loop
from headstart.engine.extract import Extraction, How, extract
from headstart.engine.streams import Features
from headstart.errors import PackError
from headstart.features import key
from headstart.features.store import MemoryStore
from headstart.registry import packs
from headstart.registry.packs import PackParts


@dataclass(frozen=True)
class Predictions:
    """What was predicted, row by row.

    Attributes:
        names: what a person calls each row.
        labels: predicted class names, or numbers.
        probabilities: (rows, classes), or None for numbers.
        classes: in the order of the columns of `probabilities`.
        bad: rows that could not be read, with reason and remedy.
        table: columns, and lines of them, where a row is told as more than one value; else None.
    """

    names: list[str]
    labels: list[Any]
    probabilities: np.ndarray | None
    classes: tuple[str, ...]
    bad: list[SetAside]
    table: tuple[list[str], list[list[Any]]] | None = None


class Predictor:
    """Assembled from a pack and its base; frozen.

    Args:
        pack: as `registry.packs.load` gives it.
        loaded: the base, as its provider hands it over.
        cache: private folder for compiled artefacts.

    Raises:
        PackError: the base is not the one that the pack was made on.
    """

    def __init__(self, pack: PackParts, loaded: Loaded, cache: Path) -> None:
        self.pack, self.cache = pack, cache
        modality = plugins.Modality(pack.modality)
        self.reader = modality.read
        self.transform: Transform = modality.batch.restore(pack.transform)
        backbone = modality.backbones.stage(loaded, self.transform)
        packs.check_base(pack, digest.tensors(backbone.state_dict().items()))
        heads: Any = plugins.load("head", pack.outcome)
        self.targets = heads.restore(pack.targets)
        self.network = Network(backbone, {pack.outcome: heads.Head(backbone.width, self.targets)})
        _put(self.network, pack)
        self.weights = digest.tensors(backbone.state_dict().items())

    def outputs(
        self, dataset: ArrowDataset, rows: np.ndarray, watcher: Watcher | None = None
    ) -> tuple[np.ndarray, Extraction]:
        """Outputs of the readable rows, and the extraction they came from."""
        recipe = self.pack.recipe
        device = devices.resolve("auto" if recipe["device"] != "cpu" else "cpu")
        how = How(
            executor=recipe["executor"],
            profile=recipe["profile"],
            device=device,
            processor=key.device(device),
            cache=self.cache,
        )
        made = extract(
            dataset,
            rows,
            backbone=self.network.backbone,
            transform=self.transform,
            store=MemoryStore(),
            weights=self.weights,
            how=how,
            watcher=watcher,
        )
        stream = Features(made.features, len(self.network.backbone.stages), {})  # type: ignore[arg-type]
        head: Any = self.network.heads[self.pack.outcome]
        if not len(made.rows):
            return np.empty((0, head.outputs)), made
        return head.predict(loop.outputs(self.network, stream, head=self.pack.outcome)), made

    def predict(self, inputs: Any, watcher: Watcher | None = None) -> Predictions:
        """Predicts files, folders, tables or values in memory, of the kind it was trained on.

        Raises:
            DataError: the input cannot be read at all; single bad rows are listed instead.
        """
        dataset = opening.open_samples(
            inputs,
            self.pack.fields,
            self.reader,
            modality=self.pack.modality,
            form=self.pack.recipe.get("form"),
            watcher=watcher,
        )
        said, made = self.outputs(dataset, np.arange(len(dataset)), watcher)
        late = [SetAside(b.name, b.reason, b.remedy) for b in made.set_aside]
        return Predictions(
            names=dataset.names(made.rows),
            labels=self.targets.decode(said) if len(made.rows) else [],
            probabilities=said if self.targets.classes else None,
            classes=self.targets.classes,
            bad=[*dataset.set_aside, *late],
            table=self._steps(dataset, said, made),
        )

    def _steps(
        self, dataset: ArrowDataset, said: np.ndarray, made: Extraction
    ) -> tuple[list[str], list[list[Any]]] | None:
        """A line a step of each window: its name, moment, steps ahead, and what the targets tell of it."""
        if not isinstance(dataset, Windows):
            return None
        told = self.targets.told(said, dataset.targets(made.rows), np.asarray(made.features))
        lines: list[list[Any]] = []
        for row, (name, moments) in enumerate(dataset.steps(made.rows)):
            for step, moment in enumerate(moments):
                values = [float(v[row, step]) for v in told.values()]
                lines.append([name, moment, step + 1, *("" if v != v else v for v in values)])
        return ["name", "time", "step", *told], lines


def _put(network: Network, pack: PackParts) -> None:
    """Head and changed weights of the pack; a head must be there in full."""
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    heads = {name for name in every if name.startswith("heads.")}
    unknown, missing = pack.tensors.keys() - every.keys(), heads - pack.tensors.keys()
    if unknown or missing:
        raise PackError(
            f"The pack's tensors do not fit its base: unexpected {sorted(unknown)[:3]}, missing "
            f"{sorted(missing)[:3]}. Expected a pack of the same headstart version and source."
        )
    with torch.no_grad():
        for name, tensor in pack.tensors.items():
            every[name].copy_(tensor)
    network.requires_grad_(False).eval()


def changed(network: Network, base: Sequence[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The head, and every tensor of the backbone that differs from the base's."""
    before = {f"backbone.{name}": tensor for name, tensor in base}
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        name: tensor.detach()
        for name, tensor in every.items()
        if name not in before or not torch.equal(before[name], tensor)
    }
