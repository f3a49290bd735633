"""Built-in sources against the same network from scratch and against simple models, over draws of labels.

    python -m benchmarks.sources image [--sets mnist coil20] [--labels 5 20] [--draws 5] [--keep FILE]

Needs HEADSTART_DATA. A draw takes so many labels a class from a set's training part; on it learn a linear
head on frozen features, fine-tuning, the same network from random weights under the budget of a verdict, the
simple models, and other sources where the table names them, among them the same network with random weights,
frozen. All are scored on the same test rows. The
interval of a difference, in points of accuracy, is Student's over draws, widened by the mean error of the
paired differences over test rows, as those stay the same.
--keep is a file of finished runs, with which a stopped table goes on. --quick holds out one fifth of the rows
in place of five in turn, fine-tunes by the bold settings of "auto" alone, and gives the network from scratch
one rate in place of three: a sixth of the time. --equal grants the network from scratch the operations of the
fine-tuning that it is compared with, in place of the ten times that a verdict grants.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import save_file
from scipy import stats
from sklearn import datasets

import headstart
from benchmarks import _data
from benchmarks._kept import finished, keep
from benchmarks.kinds import SPEAKERS, UCR
from headstart import arms, job
from headstart.core import plugins
from headstart.strategies import fine_tune

Z = 1.959964
BOLD = {
    name: value
    for name, value in asdict(fine_tune.AUTO[-1]).items()
    if name not in ("epochs", "patience")  # named, they would not grow where rows are few
}
TWIN_RATE = 3e-3


@dataclass(frozen=True)
class Kind:
    """What is compared for one kind of data.

    Attributes:
        source: the built-in one.
        sets: name -> (file, columns of a task).
        strategies: of the built-in source; each is compared with the network from scratch where it has one.
        others: further sources, frozen.
        labels: a class; 0: all.
        twin: whether the network with random weights, frozen, is among the others.
        quick: whether trainings have one rate.
        equal: whether the network from scratch has no more operations than the transfer.
    """

    source: str
    sets: Mapping[str, tuple[str, Mapping[str, Any]]]
    strategies: tuple[str, ...] = ("linear_probe", "fine_tune")
    others: tuple[str, ...] = ()
    labels: tuple[int, ...] = (5, 10, 20, 100)
    twin: bool = False
    quick: bool = False
    equal: bool = False


KINDS = ("image", "table", "series", "audio", "graph", "text")
PICTURE = {"inputs": ["image"], "target": "label", "split": "split"}
GRAPHS = ("MUTAG", "NCI109")
HEART = {"target": "label", "split": "split", "drop": ["severity", "site"]}
GIVEN_AWAY = ["id", "two_year_recid", "is_recid", "decile_score", "score_text", "v_decile_score"]
COMPAS = {
    "target": "label",
    "split": "split",
    "drop": [*GIVEN_AWAY, "standard_filter", "c_charge_desc"],
}


def kinds() -> dict[str, Kind]:
    """The tables by name."""
    real = _data.root()
    digits = {"target": "label", "split": "split"}
    return {
        "image": Kind(
            "builtin:formula",
            {
                "digits": ("digits", PICTURE),
                "mnist": ("mnist", PICTURE),
                "usps": ("usps", PICTURE),
                "coil20": ("coil20", PICTURE),
                "cifar10": ("cifar10/cifar10_subset.parquet", PICTURE),
                "ants_bees": ("ants_bees/ants_bees.parquet", PICTURE),
            },
            others=(f"file:{real / _data.IMAGENET}?input_size=96&crop_pct=1.0",),
        ),
        "table": Kind(
            "builtin:prior-fitted",
            {
                "heart_disease": ("heart_disease/heart_disease.parquet", HEART),
                "adult": ("adult/adult.parquet", digits),
                "compas": ("compas/compas.parquet", COMPAS),
                **{name: (name, digits) for name in ("iris", "wine", "breast_cancer")},
                "digits_rows": ("digits_rows", digits),
            },
            strategies=("in_context",),
            others=("builtin:random-features",),
            labels=(10, 25, 100),
        ),
        "series": Kind(
            "builtin:curves",
            {name: (f"ucr/{name}.npz", {}) for name in UCR},
            others=("builtin:random-convolutions",),
            labels=(5, 0),
        ),
        "audio": Kind(
            "builtin:words",
            {
                "fsdd": (
                    "fsdd/fsdd.parquet",
                    {"inputs": ["audio"], "target": "label", "split": SPEAKERS},
                )
            },
            others=("builtin:formula",),
            labels=(5, 20, 100),
        ),
        "graph": Kind(
            "builtin:motifs",
            {name: (name, {"target": "label"}) for name in GRAPHS},
            others=("builtin:random-gin",),
            labels=(5, 20, 0),
            twin=True,
        ),
        "text": Kind(
            "builtin:small-causal-lm",
            {
                "ag_news_small": (
                    "ag_news_small/ag_news_small.parquet",
                    {"inputs": ["text"], "target": "label", "split": "split"},
                )
            },
            others=("builtin:minilm",),
            labels=(25,),
            twin=True,
        ),
    }


def placed(name: str, folder: Path) -> Path:
    """A set as a file: its own, or one made of arrays."""
    known = _data.sets()
    if name in known and known[name].file.endswith(".npz"):
        return _data.file(known[name], folder)
    makers = {"digits": _digits, "usps": _usps}
    if name in makers:
        return _data.pictured(folder / f"{name}.parquet", *makers[name]())
    if name in GRAPHS:
        return _graphs(name, folder / f"{name}.npz")
    if "/" not in name:
        return _rows(name.removesuffix("_rows"), folder / f"{name}.parquet")
    return _data.root() / name


def _halves(count: int) -> list[str]:
    """Every third row is tested."""
    return ["test" if i % 3 == 2 else "train" for i in range(count)]


def _digits() -> tuple[np.ndarray, np.ndarray, list[str]]:
    held = datasets.load_digits()
    return (held.images * 15.9).astype(np.uint8), held.target, _halves(len(held.target))


def _usps() -> tuple[np.ndarray, np.ndarray, list[str]]:
    with np.load(_data.root() / "digits_da" / "mnist_usps_16x16.npz", allow_pickle=False) as held:
        return held["usps_x"], held["usps_y"], held["usps_split"].tolist()


def _graphs(name: str, place: Path) -> Path:
    """A set of graphs, half of which is tested."""
    with np.load(_data.root() / "tu_graphs" / f"{name}.npz", allow_pickle=False) as held:
        arrays = {n: held[n] for n in held.files if n != "split"}
    order = np.random.default_rng(0).permutation(len(arrays["y"]))
    parts = np.where(np.isin(np.arange(len(order)), order[: len(order) // 2]), "test", "train")
    np.savez(place, **arrays, split=parts)
    return place


def random_twin(kind: str, source: str, folder: Path) -> str:
    """URI of a copy of the source with random weights."""
    modality = plugins.Modality(kind)
    loaded = job.load(source, modality, offline=True)
    if loaded.rebuild is None:
        raise SystemExit(f"{source} cannot be drawn anew, so it has no twin.")
    made: Any = loaded.rebuild(0)
    if hasattr(made, "save_pretrained"):
        made.save_pretrained(folder)
        sealed = loaded.source.preprocessing
        (folder / "tokenizer.json").write_text(str(sealed["tokenizer_json"]), "utf-8")
        return f"hf:{folder}?max_length={sealed['max_length']}&pooling={sealed['pooling']}"
    save_file(made.state_dict(), folder / "twin.safetensors")
    told = {"architecture": loaded.source.preprocessing["architecture"]}
    (folder / "twin.json").write_text(json.dumps(told), "utf-8")
    return f"file:{folder / 'twin.safetensors'}"


def _rows(name: str, place: Path) -> Path:
    """A table of scikit-learn's, its rows in an order of their own."""
    held = getattr(datasets, f"load_{name}")()
    order = np.random.default_rng(0).permutation(len(held.target))
    columns = {f"c{i}": held.data[order, i] for i in range(held.data.shape[1])}
    columns |= {"label": [f"k{t}" for t in held.target[order]], "split": _halves(len(order))}
    pq.write_table(pa.table(columns), place)
    return place


def runs(kind: Kind, labels: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of an arm -> how `headstart.adapt` is asked."""
    few = {"per_class": labels} if labels else {}
    plain = {**few, "seeds": 1, "learning_curve": False, "checks": ["accuracy", "verdict"]}
    for place, strategy in enumerate(kind.strategies):
        trained = strategy not in ("linear_probe", "in_context")
        told = {"source": kind.source, "strategy": strategy, "scratch": trained}
        if kind.quick and strategy == "fine_tune":
            told["settings"] = BOLD
        if kind.equal and trained:
            told["twin_floor_tflop"] = 1e-9
        yield strategy, {**plain, **told, "champion": place == 0}
    for other in kind.others:
        told = {"source": other, "strategy": "linear_probe", "scratch": False, "champion": False}
        yield f"{_named(other)} frozen", {**plain, **told}


def _named(source: str) -> str:
    """A source's name in the table."""
    path = source.partition("?")[0]
    if path.startswith(("hf:", f"file:{tempfile.gettempdir()}")):
        return "random twin"
    return path.rpartition("/")[2].partition(".")[0]


def scored(data: Path, columns: Mapping[str, Any], asked: dict[str, Any], seed: int) -> Any:
    """One run: the score of every arm, the transfer's gain over the others with its error over test rows, and
    which test rows the transfer told rightly; a string where it was refused."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run = headstart.adapt(data, columns=dict(columns), seed=seed, output=folder, **asked)
        except headstart.errors.UserError as error:
            return str(error)
        found = run.record.finding("verdict")
        told = run.record.predictions
    every = found.measures if found is not None else ()
    gains = {m.baseline: m for m in every if m.name.startswith(("transfer gain", "gain over"))}
    right = np.asarray(told["outputs"]).argmax(1) == np.asarray(told["targets"])
    return {
        "scores": {_plain(m.group): m.value for m in every if m.group},
        "gains": {_plain(g): (m.value, (m.high - m.low) / 2 / Z) for g, m in gains.items()},
        "right": right.astype(int).tolist(),
        "seconds": float(run.record.facts["seconds_model"]),
    }


def _plain(arm: str) -> str:
    """The arm's name without its role, which may be another in another draw."""
    return arm.partition(": ")[2] or arm


def interval(gains: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Mean of differences and its 95 % interval, over draws and test rows."""
    values, count = [g for g, _ in gains], len(gains)
    drawn = float(np.var(values, ddof=1)) / count if count > 1 else 0.0
    spread = float(np.sqrt(drawn + np.mean([e**2 for _, e in gains])))
    reach = float(stats.t.ppf(0.975, max(count - 1, 1))) * spread
    mean = float(np.mean(values))
    return mean, mean - reach, mean + reach


def paired(one: list[int], other: list[int]) -> tuple[float, float]:
    """Points between two arms on the same test rows, and the error of that."""
    apart = 100 * (np.array(one) - np.array(other))
    return float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))


def collected(
    kind: Kind, name: str, labels: int, draws: int, kept: Path | None
) -> dict[str, dict[int, Any]]:
    """Arm -> draw -> what `scored` gave; runs that `kept` has are not repeated."""
    known = finished(kept)
    file, columns = kind.sets[name]
    made: dict[str, dict[int, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = placed(file, Path(folder))
        for seed in range(draws):
            for arm, asked in runs(kind, labels):
                told = "" if arm.startswith("random twin") else asked["source"].rpartition("/")[2]
                key = f"{name} {labels} {seed} {arm} {told}" + " quick" * kind.quick
                key += " equal" * ("twin_floor_tflop" in asked)
                if key not in known:
                    known[key] = scored(data, columns, asked, seed)
                    keep(known, kept)
                if isinstance(known[key], str):
                    print(f"{name:14} {labels or 'all':>6} {arm}: {known[key]}")
                else:
                    made.setdefault(arm, {})[seed] = known[key]
    return made


def gains(kind: Kind, arm: str, told: Mapping[str, dict[int, Any]]) -> dict[str, list[Any]]:
    """Other arm -> the gain of `arm` over it and its error, for every draw that has both."""
    made: dict[str, list[tuple[float, float]]] = {}
    for name, runs_of in told.items():
        for seed, mine in told[arm].items():
            run = runs_of.get(seed)
            if run is None:
                continue
            away = paired(mine["right"], run["right"])
            if name not in kind.strategies:  # another source
                made.setdefault(name, []).append(away)
            for other, gain in run["gains"].items():  # simple models, the network from scratch
                if run is mine:
                    made.setdefault(other, []).append(tuple(gain))
                elif other not in mine["gains"]:
                    both = (away[0] + gain[0], float(np.hypot(away[1], gain[1])))
                    made.setdefault(other, []).append(both)
    return made


class Means:
    """Gains over all sets and numbers of labels, each of which counts once."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], list[float]] = {}

    def add(self, arm: str, other: str, gain: float) -> None:
        self.held.setdefault((arm, other), []).append(gain)

    def lines(self) -> Iterator[str]:
        """The mean of each, with Student's interval over sets and numbers of labels."""
        for (arm, other), values in self.held.items():
            mean, low, high = interval([(v, 0.0) for v in values])
            yield f"mean of {len(values):3}: {arm} {mean:+.1f} [{low:+.1f}, {high:+.1f}] over {other}"


def lines(
    kind: Kind, name: str, labels: int, told: Mapping[str, dict[int, Any]], means: Means
) -> Iterator[str]:
    """A line for every arm of the source, with its gains over all others."""
    for arm in (a for a in kind.strategies if a in told):
        own = list(told[arm].values())
        score = np.mean([r["scores"]["transfer"] for r in own])
        seconds = np.mean([r["seconds"] for r in own])
        yield (
            f"{name:14} {labels or 'all':>6} {len(own[0]['right']):5} {len(own):2}  {arm:13} {score:6.3f} "
            f"{seconds:7.1f}"
        )
        for other, values in gains(kind, arm, told).items():
            mean, low, high = interval(values)
            means.add(arm, other, mean)
            yield f"{'':32}{mean:+6.1f} [{low:+.1f}, {high:+.1f}] over {other} ({len(values)} draws)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--source", help="instead of the built-in one")
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--strategies", nargs="*", help="instead of the table's own")
    parser.add_argument("--labels", nargs="*", type=int, help="a class; 0: all")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--equal", action="store_true")
    asked = parser.parse_args()
    kind = kinds()[asked.kind]
    if asked.source:
        kind = replace(kind, source=asked.source)
    if asked.strategies:
        kind = replace(kind, strategies=tuple(asked.strategies))
    if asked.quick:
        kind = replace(kind, quick=True)
        arms.FEW_ROWS, arms.TWIN_RATES = 0, (TWIN_RATE,)
    if asked.equal:
        kind, arms.TWIN_FACTOR = replace(kind, equal=True), 1.0
    os.environ["HEADSTART_TRACKING"] = "off"
    held = tempfile.TemporaryDirectory()
    if kind.twin:
        copy = random_twin(asked.kind, kind.source, Path(held.name))
        kind = replace(kind, others=(*kind.others, copy))
    print(f"{'set':14} {'labels':>6} {'test':>5} {'d':>2}  {'arm':13} {'score':>6} {'model s':>7}")
    means = Means()
    for name in asked.sets or kind.sets:
        for labels in asked.labels or kind.labels:
            told = collected(kind, name, labels, asked.draws, asked.keep)
            print("\n".join(lines(kind, name, labels, told, means)), flush=True)
    print("\n".join(means.lines()))
    held.cleanup()


if __name__ == "__main__":
    main()
