"""The champions find what words decide, and nothing where nothing is to be found."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from headstart.core.dataset import Field
from headstart.modalities.text import champion, tiny

FIELDS = (Field("text", "text"),)
WHOLE = [m for m in champion.CHAMPIONS if "classify" in m.outcomes]


def rows(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    with path.open(encoding="utf-8") as handle:
        table = list(csv.DictReader(handle))
    return [{"text": r["text"]} for r in table], [r["label"] for r in table]


@pytest.mark.parametrize("model", WHOLE, ids=lambda m: m.name)
def test_words_that_decide_are_found(model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    samples, labels = rows(tiny.write(tmp_path, "classify", 90, 0))
    targets = np.unique(labels, return_inverse=True)[1]
    predict = model.fit(samples[:60], FIELDS, targets[:60], outcome="classify", seed=0)
    assert (predict(samples[60:]).argmax(1) == targets[60:]).mean() > 0.9


@pytest.mark.parametrize("model", WHOLE, ids=lambda m: m.name)
def test_a_score_is_read_off_a_word(model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    samples, labels = rows(tiny.write(tmp_path, "regress", 150, 0))
    targets = np.array(labels, float)
    predict = model.fit(samples[:100], FIELDS, targets[:100], outcome="regress", seed=0)
    error = ((predict(samples[100:]) - targets[100:]) ** 2).mean()
    assert error < 0.5 * targets[100:].var()


def test_a_class_with_one_row_does_not_break_the_search() -> None:
    samples = [
        {"text": t} for t in ("red rose", "red tulip", "blue ship", "blue boat", "green hat")
    ]
    targets = np.array([0, 0, 1, 1, 2])
    predict = champion.fit_words(samples, FIELDS, targets, outcome="classify", seed=0)
    assert predict(samples).shape == (5, 3)


def test_random_labels_stay_at_chance() -> None:
    rng = np.random.default_rng(0)
    samples = [{"text": " ".join(rng.choice(list("abcdefghij"), 8))} for _ in range(120)]
    targets = rng.integers(0, 2, 120)
    predict = champion.fit_words(samples[:60], FIELDS, targets[:60], outcome="classify", seed=0)
    assert (predict(samples[60:]).argmax(1) == targets[60:]).mean() < 0.7
