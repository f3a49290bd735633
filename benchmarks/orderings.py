"""Orderings that papers report, on small data: whether they hold here.

    python -m benchmarks.orderings [--only lp_ft co_tuning forgetting] [--labels 20] [--draws 3] [--keep FILE]

Needs HEADSTART_DATA.

- lp_ft: solving the head before all is trained beats plain fine-tuning in distribution by a little and out of
  distribution by much (Kumar et al. 2022, arXiv:2202.10054). Learned: MNIST; out of distribution: USPS.
- co_tuning: Co-Tuning (You et al. 2020) and Bi-Tuning (Zhong et al. 2020, arXiv:2011.06182) beat plain
  fine-tuning at small data. Learned: CIFAR-10 and objects of COIL-20.
- forgetting: full fine-tuning at a low rate forgets less than LoRA of a high rank. Learned: sentiment of
  sentences by MiniLM; remembered: topics of news.

All arms learn from the same draws of so many labels a class and are scored on the same test rows. Differences
are in points, their intervals Student's over draws widened by the paired error over test rows. "agrees" and
"disagrees" are said of intervals without zero; everything else is "not settled".
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import headstart
from benchmarks import _data, sources, strategies
from benchmarks._kept import finished, keep

IMAGES = {"epochs": 10, "cut": -1, "augment": False}
PAIR = "digits_da/mnist_usps_16x16.npz"
Arms = Mapping[str, tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Claim:
    """What a paper says.

    Attributes:
        kind: name of a set and a folder -> its file, how it is read, and the file to be remembered.
        sets: names of sets that are learned.
        arms: name -> strategy and settings; the first is the one that others are compared with.
        better: what the paper says is higher for the other arms than for the first.
    """

    kind: Callable[[str, Path], tuple[str, strategies.Kind, str]]
    sets: tuple[str, ...]
    arms: Arms
    better: tuple[str, ...] = ("score",)


def pictures(name: str, folder: Path) -> tuple[str, strategies.Kind, str]:
    """File of a set of pictures, how it is read, and no set to be remembered."""
    if name == "mnist_16":
        with np.load(_data.root() / PAIR, allow_pickle=False) as held:
            parts = ("mnist_x", "mnist_y", "mnist_split")
            x, y, split = (held[part] for part in parts)
        place = _data.pictured(folder / "mnist_16.parquet", x, y, split.tolist())
    else:
        place = sources.placed(sources.kinds()["image"].sets[name][0], folder)
    return str(place), strategies.Kind("", "builtin:formula", "", sources.PICTURE), ""


def texts(name: str, folder: Path) -> tuple[str, strategies.Kind, str]:
    """File of a set of texts, how it is read, and the set to be remembered."""
    kind = strategies.kinds()[name]
    place = sources.placed(kind.file, folder)
    return str(place), kind, str(strategies.remembered(kind.known, folder))


def claims() -> dict[str, Claim]:
    """By name."""
    plain = ("fine_tune", {**IMAGES, "rate": 3e-4, "head_first": False})
    solved = ("lp_ft", {**IMAGES, "rate": 3e-4})
    few = {name: (name, {**IMAGES, "rate": 3e-4}) for name in ("co_tuning", "bi_tuning")}
    low = ("fine_tune", {"epochs": 5, "cut": -1, "rate": 1e-5})
    high = ("lora", {"epochs": 5, "cut": -1, "rate": 1e-3, "rank": 64})
    return {
        "lp_ft": Claim(
            pictures, ("mnist_16",), {"plain": plain, "lp_ft": solved}, ("score", "out")
        ),
        "co_tuning": Claim(pictures, ("cifar10", "coil20"), {"plain": plain, **few}),
        "forgetting": Claim(
            texts,
            ("sentiment_sentences",),
            {"lora rank 64": high, "fine_tune low": low},
            ("kept",),
        ),
    }


def outside(folder: Path) -> tuple[Path, np.ndarray]:
    """USPS digits that nothing has learned from, as files, and their labels."""
    with np.load(_data.root() / PAIR, allow_pickle=False) as held:
        chosen = np.flatnonzero(held["usps_split"] == "test")
        x, y = held["usps_x"][chosen], held["usps_y"][chosen]
    place = _data.pictured(folder / "usps.parquet", x, y, ["test"] * len(y))
    return place, y


def run(claim: Claim, name: str, arm: str, labels: int, seed: int) -> dict[str, Any]:
    """What is kept of one run: test rows told rightly, the share of ability kept, and rows of another
    distribution told rightly."""
    strategy, settings = claim.arms[arm]
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        data, kind, known = claim.kind(name, folder)
        output = str(folder / "runs")
        asked = {"settings": dict(settings), "output": output}
        made = strategies.run(data, kind, known, strategy, labels, seed, **asked)
        if "refused" in made:
            raise SystemExit(f"{strategy}: {made['refused']}")
        if "out" in claim.better:
            place, truth = outside(folder)
            said = headstart.open_run("last", output).predict(place).labels
            right = np.asarray([str(s) for s in said]) == np.asarray([str(t) for t in truth])
            made["out"] = right.astype(int).tolist()
    return made


def difference(
    one: list[dict[str, Any]], other: list[dict[str, Any]], what: str
) -> tuple[float, float, float]:
    """Points between two arms over the same draws."""
    if what == "kept":
        return sources.interval(
            [(100 * (a["kept"] - b["kept"]), 0.0) for a, b in zip(one, other, strict=True)]
        )
    name = {"score": "right", "out": "out"}[what]
    return sources.interval(
        [sources.paired(a[name], b[name]) for a, b in zip(one, other, strict=True)]
    )


def lines(claim: Claim, name: str, told: Mapping[str, list[dict[str, Any]]]) -> Iterator[str]:
    """A line an arm, and what follows for the ordering."""
    first = next(iter(claim.arms))
    for arm, runs in told.items():
        parts = {"score": np.mean([np.mean(r["right"]) for r in runs])}
        if "out" in claim.better:
            parts["out"] = np.mean([np.mean(r["out"]) for r in runs])
        if "kept" in claim.better:
            parts["kept"] = np.mean([r["kept"] for r in runs])
        values = ", ".join(f"{n} {v:.3f}" for n, v in parts.items())
        yield f"{name:20} {arm:16} {values}"
        if arm == first:
            continue
        for what in dict.fromkeys(("score", *claim.better)):
            mean, low, high = difference(runs, told[first], what)
            word = "agrees" if low > 0 else "disagrees" if high < 0 else "not settled"
            verdict = f": {word}" if what in claim.better else ""
            yield f"{'':37} {what} {mean:+.1f} [{low:+.1f}, {high:+.1f}] over {first}{verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=sorted(claims()))
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    os.environ["HEADSTART_TRACKING"] = "off"
    known = finished(asked.keep)
    for title in asked.only or claims():
        claim = claims()[title]
        print(f"\n{title}, {asked.labels} labels a class, {asked.draws} draws")
        for name in claim.sets:
            if asked.sets and name not in asked.sets:
                continue
            told: dict[str, list[dict[str, Any]]] = {}
            for seed in range(asked.draws):
                for arm in claim.arms:
                    key = f"{title} {name} {asked.labels} {seed} {arm}"
                    if key not in known:
                        known[key] = run(claim, name, arm, asked.labels, seed)
                        keep(known, asked.keep)
                    told.setdefault(arm, []).append(known[key])
            print("\n".join(lines(claim, name, told)), flush=True)


if __name__ == "__main__":
    main()
