"""Generated waves whose form is their class, and a small random encoder to read them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from headstart.core import digest
from headstart.core.source import Loaded, Source
from headstart.modalities.series import network

FORMS = ("sine", "square", "saw")
SHORTEST, LONGEST = 40, 56
GAPS = 0.02


def write(folder: Path, outcome: str, rows: int, seed: int) -> Path:
    """Writes `series.jsonl`: two channels `a` and `b` of 40 to 56 steps, some missing, and `label`.

    The form of `a` is the class; `b` is the same wave, late and noisy. For "regress" the label is the
    number of periods. For "forecast" one table is written, `hours.csv`: see `_hours`.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    if outcome == "forecast":
        return _hours(folder / "hours.csv", 20 * rows, rng)
    path = folder / "series.jsonl"
    with path.open("w", encoding="utf-8") as handle:
        for row in range(rows):
            steps = int(rng.integers(SHORTEST, LONGEST + 1))
            form, periods = FORMS[row % len(FORMS)], rng.uniform(2.0, 5.0)
            time = np.arange(steps) / steps * periods + rng.uniform()
            first = wave(form, time) * rng.uniform(0.5, 2.0) + 0.1 * rng.normal(size=steps)
            second = wave(form, time - 0.2) + 0.5 * rng.normal(size=steps)
            label = f"{periods:.3f}" if outcome == "regress" else form
            cells = {"a": _cells(first, rng), "b": _cells(second, rng)}
            told = float(label) if outcome == "regress" else label
            handle.write(json.dumps({**cells, "label": told}) + "\n")
    return path


def _hours(path: Path, hours: int, rng: np.random.Generator) -> Path:
    """A row an hour: `date`, and `load`, a daily wave with noise."""
    start = np.datetime64("2024-01-01T00", "h")
    load = 50 + 8 * np.sin(2 * np.pi * np.arange(hours) / 24) + rng.normal(size=hours)
    lines = [f"{start + k}:00,{value:.3f}" for k, value in enumerate(load)]
    path.write_text("\n".join(["date,load", *lines]) + "\n", "utf-8")
    return path


def wave(form: str, time: np.ndarray) -> np.ndarray:
    """(T,) periods -> (T,) heights from -1 to 1."""
    phase = time % 1.0
    if form == "square":
        return np.where(phase < 0.5, 1.0, -1.0)
    return 2.0 * phase - 1.0 if form == "saw" else np.sin(2 * np.pi * phase)


def _cells(values: np.ndarray, rng: np.random.Generator) -> list[float | None]:
    gone = rng.random(len(values)) < GAPS
    return [None if g else round(float(v), 4) for v, g in zip(values, gone, strict=True)]


def loaded(seed: int) -> Loaded:
    """The encoder of `network.py` with 3 blocks of 16 channels, for two channels, their gaps and level."""
    build = network.builder(channels=7, width=16, blocks=3, halved=1)
    module = build(seed)
    source = Source(
        uri=f"builtin:tiny-series?seed={seed}",
        name="tiny random convolutional encoder",
        family="encoder",
        revision=f"seed {seed}",
        sha256=digest.tensors(module.state_dict().items()),
        licence="Apache-2.0",
        trained_on="nothing: random weights drawn from a seed",
        data_licence="CC0-1.0",
        parents=(),
        paper="arXiv:1909.04939",
        parameters=sum(p.numel() for p in module.parameters()),
        preprocessing={},
    )
    facts = {"library": "headstart", "architecture": "encoder"}
    return Loaded(source=source, module=module, config=facts, rebuild=build)
