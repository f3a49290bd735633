"""Sounds to model inputs: waveforms, or log-mel spectrograms as each family of networks wants them.

What a source's sealed preprocessing says decides: a network of pictures gets spectrograms as pictures,
fitted to the training rows; one of transformers gets what its feature extractor would give.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headstart.core import digest
from headstart.core.augment import Policy, Variations
from headstart.core.dataset import Field, Sample
from headstart.core.modality import Arrays
from headstart.core.tally import Tally
from headstart.errors import BadRow, DataError, PlanError, SourceError, nearest
from headstart.modalities.audio import augment, decode, mel, variations
from headstart.modalities.audio.variations import Steps

AUGMENTATIONS = augment.NAMES
VARIATIONS = variations.VARIATIONS

LOOKED_AT = 300
"""Training rows whose headers and spectrograms the preprocessing is fitted on."""
WINDOW = (0.1, 10.0)
"""Seconds that a picture shows, at least and at most; between them 95 % of the sounds fit whole."""
MOST_RATE = 32_000
DECADES = 2.5
"""Decades of power that a picture tells apart. With one of four speakers of digits held out after another
(training rows alone, `benchmarks.constants`), the probe of the built-in source is right on 59 % with 2.5, on
61 % with 2, 52 % with 3, 31 % with 8 and 47 % with 1.5; 2 and 2.5 differ by less than the speakers do."""
LONGEST = 20.0
"""Seconds of a waveform that a network reads, unless the source says otherwise."""
LEAST = 1600
"""Samples that a waveform has at least; shorter ones are followed by silence."""


class SoundTransform(ABC):
    """What the four kinds share: decoding at one rate, counting, augmentation of the waveform.

    Attributes:
        rate: samples a second that every sound is brought to.
        seconds: longer sounds are cut to so much from their middle.
        digest: of all that decides a number at rest; augmentation is no part of it.
        counts: how many different sounds were resampled, mixed, cut, are clipped, are silent.
        fitted: whether constants were learned from training rows.
    """

    fitted = False
    dense: tuple[str, ...] = ()
    grid: tuple[str, ...] = ()
    variations: Variations = VARIATIONS
    policy: Policy | None = None

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = dict(state)
        self.field = str(state["field"])
        self.rate, self.seconds = int(state["rate"]), float(state["seconds"])
        self.augment = tuple(state["augment"])
        self.digest = digest.value({**self._state, "augment": None})
        self.counts = Tally()
        self._told: dict[int, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> Arrays:
        """Encoded bytes -> arrays; with `rng`, augmented. Raises BadRow."""
        data = sample[self.field]
        sound = decode.sound(data, self.rate, self.seconds)
        self._count(data, sound)
        samples, steps = sound.samples, ()
        if rng is not None and self.policy is not None:
            steps = self.policy.draw(rng)
            masks = "frequency_mask" not in self.variations
            samples = variations.waveform(samples, steps, rng, masks=masks)
        elif rng is not None:
            samples = augment.waveform(samples, self.augment, rng)
        return self.arrays(samples[: round(self.seconds * self.rate)], rng, steps)

    def varied(self, policy: Policy) -> SoundTransform:
        """The same with variations by name."""
        made = copy.copy(self)
        made.policy = policy
        return made

    def _striped(
        self,
        cells: np.ndarray,
        steps: Steps,
        rng: np.random.Generator,
        *,
        blank: float,
        real: int,
    ) -> np.ndarray:
        """A spectrogram (bands, frames) with stripes, as was drawn or is usual."""
        if self.policy is not None:
            return variations.spectrogram(cells, steps, rng, blank=blank, real=real)
        return augment.spectrogram(cells, self.augment, rng, blank=blank, real=real)

    @abstractmethod
    def arrays(
        self, samples: np.ndarray, rng: np.random.Generator | None, steps: Steps = ()
    ) -> dict[str, np.ndarray]:
        """(n,) float32 at the transform's rate, at most `seconds` long -> what `collate` takes; `steps` are
        what a policy drew for it."""

    def _count(self, data: bytes, sound: decode.Sound) -> None:
        """Counts each sound once, however often it is read; keeps what there is to note of it."""
        with self._lock:
            mark = hash(data)
            if mark not in self._told:
                self._told[mark] = self._found(sound)
            told = self._told[mark]
        self.counts.note(data, dict.fromkeys(told, 1))

    def notes(self, sample: Sample) -> tuple[str, ...]:
        """What was done to one sound, and what is odd about it. Raises BadRow."""
        data = sample[self.field]
        told = self._told.get(hash(data))
        return self._found(decode.sound(data, self.rate, self.seconds)) if told is None else told

    def _found(self, sound: decode.Sound) -> tuple[str, ...]:
        own = sound.header
        found = {
            f"resampled from {own.rate} to {self.rate} Hz": own.rate != self.rate,
            "channels mixed to one": own.channels > 1,
            "clipped": sound.clipped,
            "silent": sound.silent,
            f"longer than {self.seconds:g} s, so cut to the middle": sound.cut,
        }
        return tuple(name for name, holds in found.items() if holds)

    def length(self, arrays: Arrays) -> int:
        """1: all sounds have one shape."""
        return 1

    @abstractmethod
    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """Arrays of some sounds -> model inputs, batch first."""

    def state(self) -> Mapping[str, Any]:
        """All settings and fitted constants as JSON can hold them."""
        return dict(self._state)

    def profile(self, name: str) -> SoundTransform:
        """Itself: there is no fast variant."""
        return self


class Pictures(SoundTransform):
    """Log-mel spectrograms of a fixed number of seconds as pictures, the sound in the middle; low tones lie
    at the bottom.

    A cell is its level below the sound's loudest, without the mean of its band over training rows and by
    their common spread: the mean and the spread that the source's own normalised pictures have.
    """

    fitted = True
    dense = grid = ("pixels",)

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        self.bands, self.cells, self.channels = (
            int(state[n]) for n in ("bands", "cells", "channels")
        )
        self._decades = float(
            state.get("decades", 3.0)
        )  # what was fitted before the state told them
        self._level = np.asarray(state["level"], np.float32)[:, None]
        self._spread = np.float32(state["spread"])

    def arrays(
        self, samples: np.ndarray, rng: np.random.Generator | None, steps: Steps = ()
    ) -> dict[str, np.ndarray]:
        """{"cells": (bands, cells) float32}."""
        cells = (self.levels(samples) - self._level) / self._spread
        if rng is not None:
            cells = self._striped(cells, steps, rng, blank=0.0, real=self.cells)
        return {"cells": np.ascontiguousarray(cells[::-1])}

    def levels(self, samples: np.ndarray) -> np.ndarray:
        """(n,) -> (bands, cells), decades below the loudest cell."""
        before = max(0, round(self.seconds * self.rate) - len(samples)) // 2
        centred = np.concatenate([np.zeros(before, np.float32), samples])
        energy = mel.energies(
            centred, self.rate, bands=self.bands, cells=self.cells, seconds=self.seconds
        )
        return mel.levels(energy, self._decades)

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"pixels": (N, channels, bands, cells) float32}."""
        one = torch.from_numpy(np.stack([item["cells"] for item in items]))[:, None]
        return {"pixels": one.expand(-1, self.channels, -1, -1).contiguous()}


class Waves(SoundTransform):
    """Waveforms for networks that read samples (Wav2Vec2, HuBERT), each normalised where asked for."""

    dense = ("wave",)
    variations = variations.OF_WAVES

    def arrays(
        self, samples: np.ndarray, rng: np.random.Generator | None, steps: Steps = ()
    ) -> dict[str, np.ndarray]:
        """{"wave": (n,) float32}."""
        if self._state["normalise"]:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return {"wave": _at_least(samples, LEAST)}

    def length(self, arrays: Arrays) -> int:
        """Samples."""
        return len(arrays["wave"])

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"wave": (N, T) float32, zeros at the end, "mask": (N, T) bool}."""
        longest = max(len(item["wave"]) for item in items)
        waves, mask = (
            np.zeros((len(items), longest), np.float32),
            np.zeros((len(items), longest), bool),
        )
        for row, item in enumerate(items):
            waves[row, : len(item["wave"])] = item["wave"]
            mask[row, : len(item["wave"])] = True
        return {"wave": torch.from_numpy(waves), "mask": torch.from_numpy(mask)}


class Whisper(SoundTransform):
    """What WhisperFeatureExtractor gives: 30 seconds at 100 frames a second (arXiv:2212.04356)."""

    def arrays(
        self, samples: np.ndarray, rng: np.random.Generator | None, steps: Steps = ()
    ) -> dict[str, np.ndarray]:
        """{"mel": (bands, frames) float32, "real": (frames // 2,) bool, true where there is sound}."""
        size, hop, bands = (int(self._state[n]) for n in ("size", "hop", "bands"))
        total = round(self.seconds * self.rate)
        padded = np.pad(_at_least(samples, total), size // 2, mode="reflect")
        pieces = mel.frames(padded, size, hop)[:-1]
        bank = mel.bank(self.rate, size, bands, 0.0, 8000.0, "slaney")
        energy = bank @ mel.power(pieces, mel.hann(size), size).T
        logs = np.log10(np.maximum(energy, mel.FLOOR))
        logs = (np.maximum(logs, logs.max() - mel.RANGE) + 4.0) / 4.0
        frames = max(1, -(-len(samples) // hop))
        if rng is not None:
            blank = float(logs.mean())
            logs = self._striped(logs, steps, rng, blank=blank, real=frames)
        real = np.arange(logs.shape[1] // 2) < -(-frames // 2)
        return {"mel": np.ascontiguousarray(logs, np.float32), "real": real}

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"mel": (N, bands, frames) float32, "real": (N, frames // 2) bool}."""
        return _stacked(items, ("mel", "real"))


class Ast(SoundTransform):
    """What ASTFeatureExtractor gives: Kaldi's filter banks of about 10 seconds (arXiv:2104.01778)."""

    dense = ("mel",)

    def arrays(
        self, samples: np.ndarray, rng: np.random.Generator | None, steps: Steps = ()
    ) -> dict[str, np.ndarray]:
        """{"mel": (frames, bands) float32}."""
        bands, frames = int(self._state["bands"]), int(self._state["frames"])
        pieces = mel.frames(_at_least(samples, 400), 400, 160)[:frames]
        pieces = pieces - pieces.mean(axis=1, keepdims=True)
        before = np.concatenate([pieces[:, :1], pieces[:, :-1]], axis=1)
        power = mel.power(pieces - np.float32(0.97) * before, mel.hann(400, periodic=False), 512)
        energy = mel.bank(self.rate, 512, bands, 20.0, self.rate // 2, "kaldi") @ power.T
        logs = np.zeros((frames, bands), np.float32)
        logs[: len(pieces)] = np.log(np.maximum(energy, np.finfo(np.float32).eps)).T
        if self._state["normalise"]:
            logs = (logs - np.float32(self._state["mean"])) / np.float32(2 * self._state["std"])
        if rng is not None:
            logs = self._striped(logs.T, steps, rng, blank=0.0, real=len(pieces)).T
        return {"mel": np.ascontiguousarray(logs, np.float32)}

    def collate(self, items: Sequence[Arrays]) -> dict[str, Tensor]:
        """{"mel": (N, frames, bands) float32}."""
        return _stacked(items, ("mel",))


KINDS: dict[str, type[SoundTransform]] = {
    "pictures": Pictures,
    "waves": Waves,
    "whisper": Whisper,
    "ast": Ast,
}
EXTRACTORS = {
    "Wav2Vec2FeatureExtractor": "waves",
    "WhisperFeatureExtractor": "whisper",
    "ASTFeatureExtractor": "ast",
}


def _stacked(items: Sequence[Arrays], names: Sequence[str]) -> dict[str, Tensor]:
    return {n: torch.from_numpy(np.stack([item[n] for item in items])) for n in names}


def _at_least(samples: np.ndarray, least: int) -> np.ndarray:
    """Samples, followed by silence where there are fewer than `least`."""
    if len(samples) >= least:
        return samples
    return np.concatenate([samples, np.zeros(least - len(samples), np.float32)])


def make(
    preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
) -> SoundTransform:
    """The transform that a source's preprocessing asks for.

    A source of pictures gives `input_size` (channels, height, width); window, rate and levels are fitted
    on training rows. One of transformers gives `processor`, its feature extractor's settings. Both may
    give `augment` (names out of AUGMENTATIONS), the latter `seconds`.

    Raises:
        SourceError: the source reads no sound.
        DataError: no training row can be read.
        PlanError: an unknown augmentation.
    """
    name = fields[0].name
    common = {"field": name, "augment": _names(preprocessing.get("augment", augment.USUAL))}
    if "input_size" in preprocessing:
        return _fit(common, preprocessing["input_size"], samples)
    settings = dict(preprocessing.get("processor") or {})
    kind = EXTRACTORS.get(str(settings.get("feature_extractor_type", "")))
    if kind is None:
        raise SourceError(
            "The source says not how sound is prepared for it (a feature extractor out of "
            f"{', '.join(EXTRACTORS)}), so it cannot read sound. Choose another one; see: headstart "
            "sources."
        )
    common["kind"] = kind
    common["rate"] = int(settings.get("sampling_rate", 16_000))
    normalise = bool(settings.get("do_normalize", True))
    if kind == "waves":
        seconds = float(preprocessing.get("seconds", LONGEST))
        return Waves({**common, "seconds": seconds, "normalise": normalise})
    if kind == "whisper":
        size, hop = int(settings.get("n_fft", 400)), int(settings.get("hop_length", 160))
        made = {"bands": int(settings.get("feature_size", 80)), "size": size, "hop": hop}
        return Whisper({**common, **made, "seconds": float(settings.get("chunk_length", 30))})
    frames = int(settings.get("max_length", 1024))
    seconds = (frames * 160 + 240) / common["rate"]
    made = {"bands": int(settings.get("num_mel_bins", 128)), "frames": frames}
    scale = {n: float(settings.get(n, d)) for n, d in (("mean", -4.2677393), ("std", 4.5689974))}
    return Ast({**common, **made, **scale, "seconds": seconds, "normalise": normalise})


def _names(asked: Sequence[str]) -> list[str]:
    for name in asked:
        if name not in AUGMENTATIONS:
            raise PlanError(f"Unknown augmentation '{name}'. {nearest(name, AUGMENTATIONS)}")
    return list(asked)


def _fit(common: Mapping[str, Any], size: Sequence[int], samples: Sequence[Sample]) -> Pictures:
    """Rate, window, levels of the bands and their spread, on training rows."""
    headers = {}  # no bytes are held: a file may be large
    for place in range(0, len(samples), max(1, -(-len(samples) // LOOKED_AT))):
        with contextlib.suppress(BadRow):
            headers[place] = decode.inspect(samples[place][common["field"]])
    if not headers:
        raise DataError(
            f"None of {len(samples)} training sounds can be read, so nothing can be fitted on them. "
            "See the rows set aside."
        )
    known = headers.values()
    rate = min(Counter(h.rate for h in known).most_common(1)[0][0], MOST_RATE)
    longest = float(np.quantile([h.seconds for h in known], 0.95))
    channels, bands, cells = (int(v) for v in size)
    state = {
        **common,
        "kind": "pictures",
        "rate": rate,
        "seconds": round(min(max(longest, WINDOW[0]), WINDOW[1]), 3),
        "channels": channels,
        "bands": bands,
        "cells": cells,
        "decades": DECADES,
    }
    plain = Pictures({**state, "level": [0.0] * bands, "spread": 1.0})
    every = []
    for place in headers:
        with contextlib.suppress(BadRow):
            sound = decode.sound(samples[place][plain.field], plain.rate, plain.seconds)
            every.append(plain.levels(sound.samples))
    found = np.stack(every or [np.zeros((bands, cells))])
    level = found.mean(axis=(0, 2))
    spread = float((found - level[:, None]).std())
    return Pictures({**state, "level": level.round(5).tolist(), "spread": round(spread, 5) or 1.0})


def restore(state: Mapping[str, Any]) -> SoundTransform:
    """The transform whose `state` this is."""
    return KINDS[str(state["kind"])](state)
