"""A few generated sounds and a small random Wav2Vec2, for suites, examples and demos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2Model

from headstart.core import digest
from headstart.core.source import Loaded, Source

CLASSES = ("tone", "chirp", "pulses")
RATE = 8000


def sing(kind: str, hertz: float, rng: np.random.Generator) -> np.ndarray:
    """A steady tone, a rising one, or pulses of one, in noise; (n,) float64 at RATE, 0.25 to 0.4 s."""
    time = np.arange(rng.integers(RATE // 4, RATE * 2 // 5)) / RATE
    rise = 2.0 if kind == "chirp" else 0.0
    sound = np.sin(2 * np.pi * hertz * (time + rise * time**2))
    if kind == "pulses":
        sound *= np.sin(2 * np.pi * 20.0 * time) > 0
    return 0.3 * sound * np.hanning(len(time)) ** 0.25 + rng.normal(0, 0.02, len(time))


def write(folder: Path, outcome: str, rows: int, seed: int) -> Path:
    """Class folders of WAV and FLAC files ("classify"), or a CSV of paths and a pitch ("regress")."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["audio,label"]
    for row in range(rows):
        kind = CLASSES[row % len(CLASSES)]
        place = folder / (kind if outcome == "classify" else "files")
        place.mkdir(exist_ok=True)
        pitch = rng.uniform(0.0, 2.0)  # octaves above 300 Hz
        name = f"{row:04d}.{'flac' if row % 4 == 3 else 'wav'}"
        soundfile.write(place / name, sing(kind, 300.0 * 2**pitch, rng), RATE)
        lines.append(f"files/{name},{pitch + rng.normal(0, 0.02):.3f}")
    if outcome == "classify":
        return folder
    (folder / "sounds.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder / "sounds.csv"


def network(seed: int) -> nn.Module:
    """A Wav2Vec2 of three convolutions and two layers of width 24 with random weights."""
    config = Wav2Vec2Config(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(16, 16, 16),
        conv_kernel=(10, 8, 4),
        conv_stride=(8, 4, 4),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        mask_time_prob=0.0,  # no vector that only pretraining would read
        mask_feature_prob=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: nn.Module = Wav2Vec2Model(config)
        return module.train(False)


def loaded(seed: int) -> Loaded:
    """The small network as a provider would hand it over."""
    module = network(seed)
    source = Source(
        uri="tiny:audio",
        name="tiny random Wav2Vec2",
        family="wav2vec2",
        revision=f"seed {seed}",
        sha256=digest.tensors(module.state_dict().items()),
        licence="Apache-2.0",
        trained_on="nothing: random weights drawn from a seed",
        data_licence="CC0-1.0",
        parents=(),
        paper="arXiv:2006.11477",
        parameters=sum(p.numel() for p in module.parameters()),
        preprocessing={
            "processor": {
                "feature_extractor_type": "Wav2Vec2FeatureExtractor",
                "sampling_rate": RATE,
                "do_normalize": True,
            }
        },
    )
    return Loaded(source, module, {"library": "transformers", "architecture": "wav2vec2"}, network)
