"""Constants of sounds and series, each tried at several values on training rows alone.

    python -m benchmarks.constants [--only audio.batch.DECADES ...]

Needs HEADSTART_DATA. Spoken digits (20 takes): one speaker held out after another, of those that are not
tested (`benchmarks.kinds`). Series: five folds within the training part of each UCR and UEA set, and every
third window of the bearing from load 0 to 1 and back. The value in use comes first. Accuracy in percent and
log loss in nats, means over folds; then the mean difference from the value in use with its standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import torch

from benchmarks._data import archive, root
from benchmarks.kinds import BEARING, SPEAKERS, UCR
from headstart.core.dataset import Field
from headstart.core.plugins import Modality
from headstart.core.problem import Problem
from headstart.data import splits
from headstart.engine.solve import solve
from headstart.heads.classify import STRENGTHS
from headstart.job import load
from headstart.modalities.audio import batch, champion
from headstart.modalities.series import _kernels, _signal

FIELDS = (Field("value", "bytes"),)
Case = tuple[str, list[dict[str, bytes]], np.ndarray, Sequence[tuple[np.ndarray, np.ndarray]]]
"""Name, rows, classes, pairs of rows (to learn from, held out)."""


def digits() -> tuple[Case, ...]:
    held = pq.read_table(root() / "fsdd" / "fsdd.parquet").to_pandas()
    tested = SPEAKERS.partition("=")[2].split(",")
    held = held[~held["speaker"].isin(tested) & (held["index"] < 20)]
    who, labels = held["speaker"].to_numpy(), held["label"].to_numpy()
    parts = [(np.flatnonzero(who != w), np.flatnonzero(who == w)) for w in np.unique(who)]
    return (("fsdd", [{"value": sound} for sound in held["audio"]], labels, parts),)


def series() -> tuple[Case, ...]:
    cases: list[Any] = []
    for name in UCR:
        values, labels = archive(name, "train")
        cases.append((name, values, labels, splits.folds(labels, 5, 0).parts))
    with np.load(root() / BEARING / "cwru_bearing_12k_de.npz", allow_pickle=False) as held:
        used = (held["label"] != "normal") & (held["load_hp"] <= 1) & (held["segment"] % 3 == 0)
        signal = (held["x_int16"].astype(np.float32) * held["scale"][:, None])[used]
        loads, labels = held["load_hp"][used], held["label"][used]
    parts = [(np.flatnonzero(loads == a), np.flatnonzero(loads != a)) for a in (0, 1)]
    cases.append(("bearing", signal[:, :, None], labels, parts))
    return tuple((n, [{"value": _signal.pack(x)} for x in rows], *rest) for n, rows, *rest in cases)


def probe(kind: str, uri: str, rows: list[Any], labels: np.ndarray, held: list[Any]) -> np.ndarray:
    """Features of a source and logistic regression, as a run does it."""
    modality = Modality(kind)
    loaded = load(uri, modality, offline=True)
    transform = modality.batch.make(loaded.source.preprocessing, FIELDS, rows)
    backbone = modality.backbones.stage(loaded, transform).eval()

    @torch.inference_mode()
    def features(some: list[Any]) -> np.ndarray:
        made = [transform(row) for row in some]
        fours = (transform.collate(made[a : a + 4]) for a in range(0, len(made), 4))
        return np.concatenate([backbone.pool(backbone.run(four)).numpy() for four in fours])

    how: Any = {"folds": splits.folds(labels, 5, 0).parts, "standardise": "whole"}
    problem = Problem("softmax", int(labels.max()) + 1, STRENGTHS)
    found = solve(problem, features(rows), labels, scoring="tempered", **how)
    return np.asarray(torch.from_numpy(found.logits(features(held))).double().softmax(1))


def simple(c: Any, rows: list[Any], labels: np.ndarray, held: list[Any]) -> np.ndarray:
    """The second simple model of sounds with C = c; "chosen": chosen by itself."""
    champion._kept.clear()
    told: Any = {"settings": None if c == "chosen" else {"logisticregression__C": c}}
    fitted = champion.CHAMPIONS[1].fit(rows, FIELDS, labels, seed=0, outcome="classify", **told)
    return np.asarray(fitted(held))


RANDOM = "builtin:random-convolutions"
TRIED: dict[str, list[Any]] = {  # the value in use first
    "audio.batch.DECADES": [batch.DECADES, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0],
    "audio.champion.DECADES": [champion.DECADES, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0],
    "audio.champion strength": ["chosen", 1e-4, 1e-3, 1e-2, 1e-1, 1.0],
    "series._kernels.LEVEL": [_kernels.LEVEL, 0.0, 0.06, 0.12, 0.25],
    "series._kernels.SPREAD": [_kernels.SPREAD, 0.5, 1.0, 1.5],
    "series._kernels.SHARES": [_kernels.SHARES, 2, 4, 8],
    "series.batch scale": ["each", "train", "none"],
}


def learner(name: str, value: Any) -> Callable[..., np.ndarray]:
    """Who learns with a value of a constant: (rows, class numbers, rows held out) -> probabilities."""
    if name == "audio.batch.DECADES":
        return partial(probe, "audio", "builtin:formula")
    if name.startswith("audio"):
        return partial(simple, value if " " in name else champion._STRENGTHS[-1])
    if " " in name:
        return partial(probe, "series", f"{RANDOM}?scale={value}")
    kernels = 512 if "SHARES" not in name else 3072 // (value + 2)  # as many features in all
    return partial(probe, "series", f"{RANDOM}?kernels={kernels}")


def scores(name: str, value: Any, case: Case) -> np.ndarray:
    """(folds, 2): accuracy in percent, log loss in nats."""
    _, rows, names, parts = case
    labels = np.unique(names, return_inverse=True)[1]
    told, learn = [], learner(name, value)
    with ExitStack() as stack:
        if " " not in name:  # a constant; otherwise a setting
            stack.enter_context(patch(f"headstart.modalities.{name}", value))
            stack.enter_context(patch.object(_kernels, "FEATURES", _kernels.SHARES + 2))
        for fit, held in parts:
            said = learn([rows[p] for p in fit], labels[fit], [rows[p] for p in held])
            sure = np.maximum(said[np.arange(len(held)), labels[held]], 1e-6)
            told.append([100 * np.mean(said.argmax(1) == labels[held]), -np.log(sure).mean()])
    return np.array(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(TRIED), choices=list(TRIED))
    for name in parser.parse_args().only:
        cases, base = digits() if name.startswith("audio") else series(), None
        print(f"\n{name}\n  value" + "".join(f" {c[0][:14]:>14}" for c in cases))
        for value in dict.fromkeys(TRIED[name]):
            found = [scores(name, value, case) for case in cases]
            base = base or found
            cells = " ".join(f"{m[0]:7.1f} /{m[1]:5.2f}" for m in (f.mean(0) for f in found))
            apart = [f - b for f, b in zip(found, base, strict=True)]
            mean = np.mean([a.mean(0) for a in apart], axis=0)
            error = np.sqrt(sum(a.var(0, ddof=1) / len(a) for a in apart)) / len(apart)
            ends = [f"{m:+.{n}f} ± {e:.{n}f}" for m, e, n in zip(mean, error, (1, 3), strict=True)]
            print(f"{value:>7} {cells}  {' / '.join(ends)}", flush=True)


if __name__ == "__main__":
    main()
