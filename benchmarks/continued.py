"""Continued pre-training on unlabelled samples of the target: what frozen features gain, or do not.

    python -m benchmarks.continued [--sets banking77 ...] [--unlabelled 1000] [--tested 1000] [--epochs 1]

Needs HEADSTART_DATA. A source is trained on with samples of a set's training part, without their labels; then
a linear probe learns from `per_class` labels a class on its frozen features and on those of the source as it
was: the same labels, drawn anew with every seed, the same test rows. The interval is a bootstrap over draws
of labels and over test rows together; there is one pre-training a set, so it says nothing of other seeds of
that. Texts are read to 64 tokens.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import headstart
from benchmarks._data import root, sets, table
from headstart.data.splits import draw

RESAMPLES = 4000


@dataclass(frozen=True)
class Way:
    """How the source of one kind of set is trained on."""

    modality: str
    source: str
    query: str
    objective: str
    settings: dict[str, Any] = field(default_factory=dict)


WORDS = Way("text", "builtin:minilm", "max_length=64", "masked_lm")
SEEN = Way("image", "builtin:formula", "input_size=64", "simclr", {"epochs": 20, "rate": 3e-4})
WAYS = {
    **dict.fromkeys(("banking77", "ag_news_small", "sentiment_sentences"), WORDS),
    **dict.fromkeys(("cifar10", "ants_bees"), SEEN),
}


@dataclass(frozen=True)
class Rows:
    """Cells, labels, and places of the training and of the test rows."""

    cells: list[Any]
    labels: np.ndarray
    train: np.ndarray
    test: np.ndarray


def rows(name: str, tested: int) -> Rows:
    """A set, with at most so many test rows."""
    one = sets()[name]
    told = table(one)
    cells = [
        r[one.field]["bytes"] if isinstance(r[one.field], dict) else r[one.field] for r in told
    ]
    part = np.array([r["split"] for r in told])
    test = np.random.default_rng(0).permutation(np.flatnonzero(part == "test"))[:tested]
    labels = np.array([str(r["label"]) for r in told])
    return Rows(cells, labels, np.flatnonzero(part == "train"), np.sort(test))


def right(source: str, data: Rows, per_class: int, seeds: int) -> np.ndarray:
    """(seeds, test rows): whether the probe names a row, for each draw of labels."""
    made = []
    for seed in range(seeds):
        picked = data.train[draw(data.labels[data.train].tolist(), per_class, seed)]
        probe = headstart.TransferClassifier(
            source=source, strategy="linear_probe", random_state=seed
        )
        probe.fit([data.cells[i] for i in picked], data.labels[picked])
        said = probe.predict([data.cells[i] for i in data.test])
        made.append(said == data.labels[data.test])
    return np.array(made)


def interval(gain: np.ndarray) -> tuple[float, float]:
    """95 % of the mean of (draws, rows), both resampled."""
    rng = np.random.default_rng(0)
    draws, count = gain.shape
    means = [
        gain[np.ix_(rng.integers(draws, size=draws), rng.integers(count, size=count))].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def measure(name: str, asked: argparse.Namespace, folder: Path) -> str:
    """One row of the table."""
    way, data = WAYS[name], rows(name, asked.tested)
    chosen = np.random.default_rng(1).permutation(data.train)[: asked.unlabelled]
    settings = {**way.settings, **({"epochs": asked.epochs} if asked.epochs else {})}
    before = right(f"{way.source}?{way.query}", data, asked.per_class, asked.seeds)
    began = time.perf_counter()
    made = headstart.pretrain(
        [data.cells[i] for i in chosen],
        modality=way.modality,
        objective=way.objective,
        from_=f"{way.source}?{way.query}",
        settings=settings,
        output=folder / name,
    )
    seconds = time.perf_counter() - began
    after = right(made.uri, data, asked.per_class, asked.seeds)
    gain = 100 * (after.astype(float) - before)
    low, high = interval(gain)
    facts = made.document
    surprise = facts.get("perplexity")
    told = f"{surprise['before']:.0f} -> {surprise['after']:.0f}" if surprise else "-"
    print(json.dumps({"set": name, "settings": facts["settings"], "rank": facts["rank"]}))
    return (
        f"{name:20} {way.source:16} {way.objective:10} {len(chosen):6} {facts['samples_seen']:7} "
        f"{len(data.test):5} {before.mean():7.3f} {after.mean():7.3f} "
        f"{gain.mean():+6.2f} [{low:+.2f}, {high:+.2f}]   {told:14} {seconds:6.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=["banking77", "cifar10"])
    parser.add_argument("--unlabelled", type=int, default=1000)
    parser.add_argument("--tested", type=int, default=1000)
    parser.add_argument("--per-class", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="0: the objective's own")
    asked = parser.parse_args()
    root()
    print(
        f"{'set':20} {'from':16} {'objective':10} {'texts':>6} {'seen':>7} {'test':>5} {'before':>7} "
        f"{'after':>7} {'gain, points':22} {'perplexity':14} seconds"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.sets:
            print(measure(name, asked, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
