"""A generated table with numbers, levels and gaps, and the formula source that reads it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from torch import nn

from headstart.core.source import Loaded, Source

CITIES = ("Oslo", "Lima", "Cairo", "Perth")
GAPS = 0.05


def write(folder: Path, outcome: str, rows: int, seed: int) -> Path:
    """Writes `table.csv` with the columns age, income, distance, city, member and label.

    Whether age and income lie on one side of their middles decides together with the city, so a
    linear model sees only part of it. One in twenty numbers is missing.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["age", "income", "distance", "city", "member", "label"])
        for i in range(rows):
            age, income, distance = rng.normal(size=3)
            city = int(rng.integers(len(CITIES)))
            signal = 1.5 * np.tanh(2 * age * income) + 0.8 * (city == 1) + 0.3 * rng.normal()
            label = f"{signal:.3f}" if outcome == "regress" else _class(signal, i)
            numbers = [40 + 12 * age, 30_000 * np.exp(0.4 * income), 10 + 3 * distance]
            cells = [f"{v:.2f}" if rng.random() > GAPS else "" for v in numbers]
            member = "yes" if rng.random() < 0.5 else "no"
            writer.writerow([*cells, CITIES[city], member, label])
    return path


def _class(signal: float, row: int) -> str:
    """Three classes; the first rows take one each, so that none is ever empty."""
    names = ("low", "middle", "high")
    return names[row] if row < 3 else names[int(np.digitize(signal, (-0.3, 0.9)))]


def loaded(seed: int) -> Loaded:
    """Random features from `seed`, 64 of them."""
    source = Source(
        uri=f"builtin:random-features?seed={seed}",
        name="random Fourier features",
        family="random_features",
        revision=f"1 (seed {seed})",
        sha256="formula",
        licence="Apache-2.0",
        trained_on="nothing: random weights drawn from a seed",
        data_licence="CC0-1.0",
        parents=(),
        paper="NeurIPS 2007: Rahimi and Recht",
        parameters=0,
        preprocessing={},
    )
    facts = {
        "library": "headstart",
        "architecture": "random_features",
        "seed": seed,
        "features": 64,
    }
    return Loaded(source=source, module=nn.Identity().eval(), config=facts, rebuild=None)
