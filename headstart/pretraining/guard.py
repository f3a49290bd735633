"""Watches features while a network learns without labels: collapse, and what a linear probe reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from headstart.core import plugins
from headstart.core.network import Network
from headstart.core.objective import PHASE
from headstart.data import splits
from headstart.engine.loop import features
from headstart.engine.solve import solve
from headstart.engine.streams import Drawn, Views
from headstart.errors import DataError

LOOKED_AT = 256
PROBED = 1500  # labelled rows, at most
FOLDS = 3
POINTS = 5  # of the probe's curve, beside the one before training
FEW = 2.0  # directions; fewer carry next to nothing
FALLEN = 0.1  # share of the directions that the untrained network had
FLAT = 1e-3  # deviation of features in units of their size
STUCK = 5  # epochs after which a loss that has not fallen is named


def rank(read: np.ndarray) -> float:
    """Effective rank of (N, width): e to the entropy of the shares of the singular values of the centred
    features (Roy and Vetterli 2007; as a guard RankMe, arXiv:2210.02885). 1: one direction; 0: a point."""
    values = np.linalg.svd(read - read.mean(axis=0), compute_uv=False)
    if not np.isfinite(values).all() or values.sum() <= 1e-12 * max(1.0, np.abs(read).max()):
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def deviation(read: np.ndarray) -> float:
    """Deviation over the rows of (N, width), all columns together, in units of the features' size."""
    size = math.sqrt(float((read**2).mean()))
    return float(math.sqrt(float(read.var(axis=0).mean())) / size) if size > 0 else 0.0


@dataclass
class Guard:
    """Called after every epoch; measures features of the same plain samples, and speaks up.

    Attributes:
        places: of these samples in `stream`.
        floor: the objective's, or None.
        first: rank before training.
        probe: accuracy of a linear probe, or None where there are no labels for it.
        epochs: of the whole training.
        surprise: perplexity of what was held out, or None.
        retrieval: recall of held-out pairs by way, or None.
    """

    stream: Views | Drawn
    places: np.ndarray
    floor: float | None
    epochs: int
    first: float
    probe: Callable[[Network], float] | None = None
    surprise: Callable[[Network], float] | None = None
    retrieval: Callable[[Network], dict[str, Any]] | None = None
    losses: list[float] = field(default_factory=list)

    def __call__(self, network: Network, record: dict[str, Any]) -> Sequence[str]:
        """Adds rank, deviation, probe and what held-out samples say to the record; sentences where
        something is wrong."""
        if self.surprise is not None:
            record["perplexity"] = self.surprise(network)
        if self.retrieval is not None:
            record["retrieval"] = self.retrieval(network)
        if record.get("phase", PHASE) != PHASE:  # the features stay as they are
            return ()
        read = features(network, self.stream, self.places)
        record["rank"], record["deviation"] = rank(read), deviation(read)
        epoch = int(record["epoch"])
        every = max(1, self.epochs // POINTS)
        if self.probe is not None and (epoch % every == 0 or epoch == self.epochs):
            record["probe"] = self.probe(network)
        self.losses.append(float(record["loss"]))
        return [said for said in (self._collapsed(record), self._loss(record)) if said]

    def _collapsed(self, record: dict[str, Any]) -> str:
        found, least = record["rank"], max(FEW, FALLEN * self.first)
        if found >= least and record["deviation"] >= FLAT:
            return ""
        return (
            f"The features have collapsed: {found:.1f} directions are left, the untrained network had "
            f"{self.first:.1f}. Lower the rate, enlarge the batch, or choose another objective."
        )

    def _loss(self, record: dict[str, Any]) -> str:
        loss = float(record["loss"])
        if self.floor is not None and loss <= self.floor:
            return (
                f"The loss has come down to {self.floor:g}, where nothing more is learned: the task was "
                "solved trivially. Choose a larger batch, or another objective."
            )
        if len(self.losses) == STUCK and min(self.losses[1:]) >= self.losses[0]:
            return f"The loss has not fallen in {STUCK} epochs. Try another rate (--rate)."
        return ""


def prober(
    stream: Views | Drawn, labels: np.ndarray, places: np.ndarray, seed: int
) -> Callable[[Network], float] | None:
    """network -> cross-validated accuracy of a linear probe on its features; None where the labels cannot
    be cut into folds."""
    kept = places[labels[places] >= 0]
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.permutation(kept)[:PROBED])
    file: Any = plugins.load("head", "classify")
    try:
        targets = file.learn([str(v) for v in labels[kept]])
        wanted = targets.encode([str(v) for v in labels[kept]])
        parts = splits.folds(list(wanted), FOLDS, seed).parts
    except DataError:
        return None

    def probe(network: Network) -> float:
        read = features(network, stream, kept)
        head = file.Head(read.shape[1], targets)
        found = solve(
            head.problem(len(kept)),
            read,
            wanted,
            folds=parts,
            standardise="whole",
            scoring="tempered",
        )
        return float((found.held_out.argmax(axis=1) == wanted).mean())

    return probe
