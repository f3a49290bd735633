"""A pack at work: the base reopened and checked, the head put on, samples in, predictions out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.core import digest, plugins
from headstart.core.dataset import SetAside
from headstart.core.modality import Transform
from headstart.core.network import Backbone, Network
from headstart.core.run import Watcher
from headstart.core.source import Loaded
from headstart.data import opening
from headstart.data.dataset import ArrowDataset
from headstart.data.windows import Windows
from headstart.engine import device as devices
from headstart.engine import loop, positions
from headstart.engine.extract import Extraction, How, extract
from headstart.engine.noted import noted
from headstart.engine.scope import Detector
from headstart.engine.streams import Features
from headstart.errors import PackError, PlanError
from headstart.features import key
from headstart.features.store import MemoryStore
from headstart.job import cache_root, load
from headstart.registry import packs
from headstart.registry.packs import PackParts
from headstart.scope import PREFIX
from headstart.targets import restored


@dataclass(frozen=True)
class Span:
    """Positions of one label.

    Attributes:
        first, last: numbers of the positions, from 0, both inside.
        text: what stands there, where the modality can say.
        confidence: the lowest probability of its positions.
    """

    first: int
    last: int
    label: str
    text: str
    confidence: float


@dataclass(frozen=True)
class Told:
    """What was predicted of one further target, row by row.

    Attributes:
        name: of its column.
        labels, probabilities, classes: as those of `Predictions`.
    """

    name: str
    labels: list[Any]
    probabilities: np.ndarray | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """What was predicted, row by row.

    Attributes:
        names: what a person calls each row.
        labels: predicted class names, numbers, or texts that answer; for labels of positions a list a row.
        probabilities: (rows, classes), or None for numbers; of positions (rows, positions, classes), NaN
            behind a row's end.
        classes: in the order of the columns of `probabilities`.
        bad: rows that could not be read, with reason and remedy.
        notes: sentences on the input: columns that did not come, cells that training never had.
        spans: where positions have labels, what was found in each row.
        scope: (rows,) how far each row lies outside the known classes; None where it was not asked for.
        outside: (rows,) of bool: whether that is farther than the sealed threshold; or None.
        table: columns, and lines of them, where a row is told as more than one value; else None.
        further: what was predicted of further targets, which were learned beside the first.
        row_notes: what preprocessing noted of each row ("silent"), () for one without; () where it noted
            nothing at all.
    """

    names: list[str]
    labels: list[Any]
    probabilities: np.ndarray | None
    classes: tuple[str, ...]
    bad: list[SetAside]
    notes: tuple[str, ...] = ()
    spans: list[list[Span]] | None = None
    scope: np.ndarray | None = None
    outside: np.ndarray | None = None
    table: tuple[list[str], list[list[Any]]] | None = None
    row_notes: tuple[tuple[str, ...], ...] = ()
    further: tuple[Told, ...] = ()


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
        self.show: Any = modality.show
        self.reader = modality.read
        self.transform: Transform = modality.batch.restore(pack.transform)
        backbone = modality.backbones.stage(loaded, self.transform)
        plain = digest.tensors(backbone.state_dict().items())
        packs.check_base(pack, plain)
        tuned = any(name.startswith("backbone.") for name in pack.tensors)
        self.guard, self.base = _guard(pack), copy.deepcopy(backbone) if tuned else backbone
        heads: Any = plugins.load("head", pack.outcome)
        self.targets = heads.restore(pack.targets)
        self.further = restored(pack.recipe.get("further", ()))
        self.network = Network.headed(backbone, heads, self.targets, further=self.further)
        _rebuild(self.network, pack)
        _put(self.network, pack)
        self.weights = digest.tensors(backbone.state_dict().items()) if tuned else plain
        self.plain = plain

    def outputs(
        self, dataset: ArrowDataset, rows: np.ndarray, watcher: Watcher | None = None
    ) -> tuple[np.ndarray, Extraction]:
        """Outputs of the readable rows, and the extraction they came from."""
        backbone = self.network.backbone
        each = self.network.reads == "positions"
        made = self._extract(dataset, rows, backbone, self.weights, watcher)
        head: Any = self.network.heads[self.pack.outcome]
        if not len(made.rows):
            return np.empty((0, *[1] * each, head.outputs)), made
        made = positions.featured(made, backbone) if each else made
        stream = Features(made.features, len(backbone.stages), {})  # type: ignore[arg-type]
        return head.predict(loop.outputs(self.network, stream, head=self.pack.outcome)), made

    def others(self, made: Extraction) -> dict[str, np.ndarray]:
        """Further target -> outputs of the rows of an extraction."""
        stream = Features(made.features, len(self.network.backbone.stages), {})  # type: ignore[arg-type]
        found = {}
        for one in self.further:
            head: Any = self.network.heads[one.head]
            found[one.name] = head.predict(loop.outputs(self.network, stream, head=one.head))
        return found

    def _others(self, made: Extraction) -> tuple[Told, ...]:
        """What a person is told of further targets."""
        if not len(made.rows):
            return ()
        said, every = self.others(made), {one.name: one.targets for one in self.further}
        return tuple(
            Told(name, t.decode(said[name]), said[name] if t.classes else None, t.classes)
            for name, t in every.items()
        )

    def _extract(
        self,
        dataset: ArrowDataset,
        rows: np.ndarray,
        backbone: Backbone,
        weights: str,
        watcher: Watcher | None,
    ) -> Extraction:
        """Features by the recorded executor and profile."""
        recipe = self.pack.recipe
        device = devices.resolve("auto" if recipe["device"] != "cpu" else "cpu")
        how = How(
            executor=recipe["executor"],
            profile=recipe["profile"],
            device=device,
            processor=key.device(device),
            cache=self.cache,
        )
        each = self.network.reads == "positions"
        return extract(
            dataset,
            rows,
            backbone=backbone,
            transform=self.transform,
            store=MemoryStore(),
            weights=weights,
            cut=len(backbone.stages) if each else None,
            how=how,
            watcher=watcher,
        )

    def scores(
        self, dataset: ArrowDataset, made: Extraction, watcher: Watcher | None = None
    ) -> np.ndarray:
        """How far the rows of an extraction lie outside the known classes, (rows,); higher is farther. The
        detector looks at the base's own features. Raises PlanError where the pack has none."""
        if self.guard is None:
            raise PlanError(
                f"This model tells no rows out of scope: its outcome is '{self.pack.outcome}', or an "
                "earlier headstart made it. Leave the scope out, or train a model of classes anew."
            )
        if self.base is not self.network.backbone:
            made = self._extract(dataset, made.rows, self.base, self.plain, watcher)
        return self.guard(made.features if len(made.rows) else np.empty((0, self.base.width)))  # type: ignore[arg-type]

    def predict(
        self, inputs: Any, watcher: Watcher | None = None, *, scope: bool = False
    ) -> Predictions:
        """Predicts files, folders, tables or values in memory, of the kind it was trained on.

        Args:
            scope: whether each row is also told to lie inside or outside the known classes; always so
                where the task named a label for rows outside, which is then what they are told to be.

        Raises:
            DataError: the input cannot be read at all; single bad rows are listed instead.
            PlanError: the scope was asked for, and the pack has no detector.
        """
        dataset = opening.open_samples(
            inputs,
            self.pack.fields,
            self.reader,
            modality=self.pack.modality,
            form=self.pack.recipe.get("form"),
            watcher=watcher,
        )
        self.transform.counts.clear()
        said, made = self.outputs(dataset, np.arange(len(dataset)), watcher)
        late = [SetAside(b.name, b.reason, b.remedy) for b in made.set_aside]
        answers = self._answers(dataset, made.rows, said)
        labels = self.targets.decode(said) if len(made.rows) else []
        found = Predictions(
            names=dataset.names(made.rows),
            labels=labels if answers is None else [line[1] for line in answers[1]],
            probabilities=said if self.targets.classes else None,
            classes=self.targets.classes,
            bad=[*dataset.set_aside, *late],
            notes=(*dataset.notes, *self._counted()),
            spans=self._spans(dataset, made.rows, said),
            table=self._steps(dataset, said, made) or answers,
            row_notes=noted(self.transform, dataset, made.rows),
            further=self._others(made),
        )
        told = self.pack.recipe.get("scope", {})
        if not scope and not told.get("label"):
            return found
        scores = self.scores(dataset, made, watcher)
        outside = scores > float(told["threshold"])
        labels = found.labels
        if told["label"]:
            labels = [told["label"] if o else n for o, n in zip(outside, labels, strict=True)]
        return replace(found, labels=labels, scope=scores, outside=outside)

    def _counted(self) -> list[str]:
        """What preprocessing did to the rows of this call."""
        told = self.transform.counts.items()
        return [f"Preprocessing, each different row counted once: {k}, {n}." for k, n in told if n]

    def _spans(
        self, dataset: ArrowDataset, rows: np.ndarray, said: np.ndarray
    ) -> list[list[Span]] | None:
        """What was found in each row; None where positions have no labels."""
        if self.network.reads != "positions" or not self.targets.classes:
            return None
        found = []
        for row, outputs in zip(rows, said, strict=True):
            shown = self.show.exhibit(dataset.samples(np.array([row]))[0], dataset.fields)
            units = shown.get("units", ())
            found.append(
                [
                    Span(a, b, label, " ".join(units[a : b + 1]), sure)
                    for a, b, label, sure in self.targets.spans(outputs)
                ]
            )
        return found

    def _answers(
        self, dataset: ArrowDataset, rows: np.ndarray, said: np.ndarray
    ) -> tuple[list[str], list[list[Any]]] | None:
        """A line a row: its name, the answer as its text has it, its first character and the one behind its
        last, and its probability; None where no span of a text is told."""
        if self.network.reads != "positions" or self.targets.classes:
            return None
        lines: list[list[Any]] = []
        names = dataset.names(rows)
        for row, name, (first, last, sure) in zip(rows, names, said, strict=True):
            shown = self.show.exhibit(dataset.samples(np.array([row]))[0], dataset.fields)
            start, end = shown["places"][int(first)][0], shown["places"][int(last)][1]
            lines.append([name, shown["text"][start:end], start, end, float(sure)])
        return ["name", "answer", "start", "end", "confidence"], lines

    def _steps(
        self, dataset: ArrowDataset, said: np.ndarray, made: Extraction
    ) -> tuple[list[str], list[list[Any]]] | None:
        return stepped(dataset, made.rows, said, self.targets, np.asarray(made.features))


def open_pack(folder: Path, offline: bool = False) -> Predictor:
    """A pack with its base. Raises PackError when the base is another one."""
    pack = packs.load(folder)
    loaded = load(str(pack.base.source["uri"]), plugins.Modality(pack.modality), offline=offline)
    return Predictor(pack, loaded, cache_root() / "compiled")


def stepped(
    dataset: ArrowDataset,
    rows: np.ndarray,
    said: np.ndarray,
    targets: Any,
    features: np.ndarray | None = None,
) -> tuple[list[str], list[list[Any]]] | None:
    """A line a step of each window: its name, moment, steps ahead, and what the targets tell of it; None
    where rows are no windows, or there is none."""
    if not isinstance(dataset, Windows) or not len(rows):
        return None
    told = targets.told(said, dataset.targets(rows), features)
    lines: list[list[Any]] = []
    for row, (name, moments) in enumerate(dataset.steps(rows)):
        for step, moment in enumerate(moments):
            values = [float(v[row, step]) for v in told.values()]
            lines.append([name, moment, step + 1, *("" if v != v else v for v in values)])
    return ["name", "time", "step", *told], lines


def _guard(pack: PackParts) -> Detector | None:
    """The pack's detector of rows out of scope."""
    told = pack.recipe.get("scope")
    if told is None:
        return None
    held = {
        n.removeprefix(PREFIX): t.numpy() for n, t in pack.tensors.items() if n.startswith(PREFIX)
    }
    return Detector(str(told["detector"]), held, int(told["k"]))


def _rebuild(network: Network, pack: PackParts) -> None:
    """Puts on what the pack's strategy left beside the base's own modules (adapters)."""
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shipped = {name: t for name, t in pack.tensors.items() if not name.startswith(PREFIX)}
    if shipped.keys() - every.keys():
        file: Any = plugins.load("strategy", str(pack.recipe["strategy"]))
        file.Strategy.rebuild(network, shipped)


def _put(network: Network, pack: PackParts) -> None:
    """Head and changed weights of the pack; a head must be there in full."""
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    heads = {name for name in every if name.startswith("heads.")}
    rows = heads & dict(network.named_buffers()).keys()  # as many as there were
    shipped = {name: t for name, t in pack.tensors.items() if not name.startswith(PREFIX)}
    unknown, missing = shipped.keys() - every.keys(), heads - shipped.keys()
    if unknown or missing:
        raise PackError(
            f"The pack's tensors do not fit its base: unexpected {sorted(unknown)[:3]}, missing "
            f"{sorted(missing)[:3]}. Expected a pack of the same headstart version and source."
        )
    with torch.no_grad():
        for name, tensor in shipped.items():
            if name in rows:
                every[name].resize_(tensor.shape)
            every[name].copy_(tensor)
    network.requires_grad_(False).eval()


def changed(network: Network, base: Sequence[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The head, and every tensor of the backbone that differs from the base's. Buffers that a state does not
    hold, such as numbers of places, are made anew with the base and are not among them."""
    before = {f"backbone.{name}": tensor for name, tensor in base}
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    made = {name for name in every if name.startswith("backbone.")} - network.state_dict().keys()
    return {
        name: tensor.detach()
        for name, tensor in every.items()
        if name not in made and (name not in before or not torch.equal(before[name], tensor))
    }
