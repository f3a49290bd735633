"""What the files of a modality folder offer, as protocols.

`headstart/modalities/<name>/` holds `read.py`, `batch.py`, `backbones.py`, `show.py`, `champion.py`,
`tiny.py` and `sources.toml`; each module offers the names of one protocol below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from headstart.core.dataset import Field, Sample
from headstart.core.network import Backbone
from headstart.core.reader import Read
from headstart.core.source import Loaded

__all__ = [
    "Arrays",
    "BackbonesFile",
    "BatchFile",
    "Champion",
    "ChampionFile",
    "Read",
    "ShowFile",
    "Simple",
    "TinyFile",
    "Transform",
]

Arrays = Mapping[str, np.ndarray]


class Transform(Protocol):
    """Sealed preprocessing: one raw sample to arrays, arrays to model inputs.

    Two names are optional: `notes(sample) -> tuple[str, ...]`, what was or would be done to this very sample
    that a person should know ("silent", "clipped"), in the words of `counts`; it counts nothing. And
    `pieces(sample) -> tuple[Arrays, ...]`, all of a sample, in as many pieces as the network needs to read it
    (windows of a long text); raises BadRow.

    Of variations by name, all optional: `variations`, what these rows can be varied by (core/augment.py), and
    `varied(policy) -> Transform`, the same which, given a generator, does what the policy draws instead of
    what is usual. `dense`: names of floating-point inputs that may be blended number by number, rows of a
    batch with each other, masks beside them being joined; `grid`: those among them that are pictures (N,
    channels, H, W), so that a rectangle of one may be put into another.

    Attributes:
        digest: of all settings and fitted constants; part of the store's namespace.
        counts: what happened to the samples so far ("truncated": 3), each different one counted once
            (`headstart.core.tally`); printed in the report.
        fitted: whether constants were learned from training rows; absent means no.
    """

    digest: str
    counts: dict[str, int]

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """One raw sample -> arrays; with `rng`, augmented. Thread-safe. Raises BadRow."""
        ...

    def length(self, arrays: Arrays) -> int:
        """Ragged length, by which the engine buckets; 1 where all samples have one shape."""
        ...

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """Arrays of some samples -> model inputs, batch first, float32 or int64, padded at the end."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What JSON can hold; `restore` gives an equal transform."""
        ...

    def profile(self, name: str) -> Transform:
        """The same for profile "exact" or "fast" (reduced-scale decoding, where there is one)."""
        ...


class BatchFile(Protocol):
    """`batch.py`: transforms, augmentation, collation.

    Optional: `VARIATIONS`, all that `Transform.variations` may offer, by name. `VIEWS`, the augmentations of
    copies that an objective compares, where they should differ more than a source's own `augment` lets them.
    """

    AUGMENTATIONS: tuple[str, ...]

    def make(
        self, preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
    ) -> Transform:
        """The transform that a source's sealed preprocessing asks for, fitted on training samples
        where something is fitted (scalers, vocabularies)."""
        ...

    def restore(self, state: Mapping[str, Any]) -> Transform: ...


class BackbonesFile(Protocol):
    """`backbones.py`: pretrained networks and their stages.

    Optional: `build(card)`, for networks of the modality's own: (seed -> module with random weights,
    preprocessing) by the document beside weights in a file, or None for what it does not build;
    `described(backbone)`, its reverse: (module whose weights are kept, document), or None; `DEFAULT`, the
    document of the network that is pre-trained where no architecture is named, or `default(fields)`, which
    says it for samples of such fields; `ARCHITECTURES`, names that `build` knows; `beside(backbone,
    transform) -> {file name: text}`, what another library needs beside such weights to read them.
    """

    def stage(self, loaded: Loaded, transform: Transform | None = None) -> Backbone:
        """The staged network; one stage for a family nobody has staged. A network drawn by formula
        takes its input width from the fitted transform. Raises SourceError when the network cannot
        read this modality."""
        ...

    def reference(self, loaded: Loaded, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What the untouched network says: {"pool": (N, width)} or {"positions": (N, L, width)}."""
        ...


class ShowFile(Protocol):
    """`show.py`: samples to something a person can look at."""

    def exhibit(self, sample: Sample, fields: Sequence[Field]) -> Mapping[str, Any]:
        """{"kind": "picture", "data": "data:image/png;base64,..."} or {"kind": "text", "text": ...}
        or {"kind": "pairs", ...} or {"kind": "lines", "lines": JSON list of {"name", "x", "y"}} or
        {"kind": "sound", "picture": a PNG, "sound": "data:audio/wav;base64,..."} or {"kind": "drawing",
        "drawing": JSON of points [x, y, kind, marked] from 0 to 1, lines [point, point] and a note} or
        {"kind": "units", "units": [...]}, what carries labels one after another (words), or {"kind":
        "passage", "question", "text", "places"}, places (start, end) of the units of the text. Text is
        raw: the report escapes it."""
        ...


@dataclass(frozen=True)
class Simple:
    """A fitted simple model; call it with samples.

    Attributes:
        predict: samples (N) -> probabilities (N, classes), numbers (N,), forecasts (N, horizon), or
            spans that answer (N, 3), see `core/answers.py`.
        settings: what cross-validation chose; another fit that is given them chooses nothing.
    """

    predict: Callable[[Sequence[Sample]], np.ndarray]
    settings: Mapping[str, Any]

    def __call__(self, samples: Sequence[Sample]) -> np.ndarray:
        return self.predict(samples)


@dataclass(frozen=True)
class Champion:
    """A simple model of the field: no pretrained network.

    Attributes:
        name: "TF-IDF + logistic regression".
        fit: (samples, fields, encoded targets, *, outcome, seed, settings=None) -> `Simple`.
        seeded: whether the seed changes what is learned.
        serves: (samples, fields) -> whether it reads samples of this kind; None: all of the modality.
        each: whether it labels each position: targets are (N, L) with -1 where there is no label, and its
            predictions (N, L, classes) with NaN behind a row's end.
        outcomes: what it can be fitted to; a tag is a class for it.
        beside: whether it is read on the test rows, and shown, though another one was chosen.
    """

    name: str
    fit: Any
    seeded: bool = False
    serves: Callable[[Sequence[Sample], Sequence[Field]], bool] | None = None
    each: bool = False
    outcomes: tuple[str, ...] = ("classify", "regress", "tag")
    beside: bool = False


class ChampionFile(Protocol):
    """`champion.py`: the simple models that transfer has to beat.

    It may offer `plain(samples, fields)`: features (N, width), dense or sparse, without any pretrained
    network, whose Euclidean distances mean something, with their name in `PLAIN`; clusters of them stand
    beside those of a source.
    """

    CHAMPIONS: tuple[Champion, ...]


class TinyFile(Protocol):
    """`tiny.py`: a few generated samples and a small network for suites and demos."""

    def write(self, folder: Path, outcome: str, rows: int, seed: int) -> Path:
        """Writes a small readable data set; returns what `run` takes."""
        ...

    def loaded(self, seed: int) -> Loaded:
        """A small network of the modality with random weights, as a provider would hand it over."""
        ...
