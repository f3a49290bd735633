"""Heads that are shown labelled rows: by hand, on held-out rows, in a pack, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headstart as hs
from headstart.core import plugins
from headstart.errors import PlanError
from headstart.registry import packs
from headstart.strategies.nearest import PRIOR, TEMPERATURE, Nearest
from headstart.strategies.prototype import Prototypes

NAMES = ("prototype", "nearest")
QUICK: dict[str, Any] = {"seeds": 2, "scratch": False, "champion": False, "learning_curve": False}


def problem(count: int = 60, apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    return (5 + apart * np.eye(8)[labels] + rng.normal(size=(count, 8))).astype(np.float32), labels


def halves(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(1).permutation(count)
    return [(order[::2], order[1::2]), (order[1::2], order[::2])]


def settled(kind: Any, features: np.ndarray, labels: np.ndarray) -> Any:
    head = kind(features.shape[1], 3)
    head.settle(head.solve(features, labels, halves(len(labels))))
    return head


def test_prototypes_by_hand() -> None:
    features, labels = problem()
    head = settled(Prototypes, features, labels)
    turned = features - features.mean(0)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    means = np.stack([turned[labels == k].mean(0) for k in range(3)])
    far = ((turned[:, None] - means) ** 2).sum(2)
    said = head(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(said, -float(head.choice) * far, rtol=1e-4, atol=1e-4)
    assert (said.argmax(1) == labels).mean() > 0.9
    assert head.inside == 0 and len(head.rows) == 3


def test_votes_of_the_nearest_by_hand() -> None:
    features, labels = problem(12)
    head = Nearest(8, 3)
    head.show(torch.from_numpy(features), torch.from_numpy(labels))
    turned = features - features.mean(0)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    similar = turned @ turned.T
    for row in range(12):
        near = np.argsort(-similar[row])[:5]
        grown = np.exp(similar[row, near] / TEMPERATURE)
        votes = np.zeros(3)
        np.add.at(votes, labels[near], 5 * grown / grown.sum())
        wanted = np.log((votes + PRIOR / 3) / (5 + PRIOR))
        said = head.answers(torch.from_numpy(features[row : row + 1]), 5.0)[0].numpy()
        np.testing.assert_allclose(said, wanted, rtol=1e-4, atol=1e-4)
    assert head.inside == 12


@pytest.mark.parametrize("kind", [Prototypes, Nearest])
def test_held_out_rows_are_told_without_them(kind: Any) -> None:
    features, labels = problem(apart=1.0)
    head = kind(8, 3)
    found = head.solve(features, labels, halves(60))
    fit, out = halves(60)[0]
    alone = kind(8, 3)
    alone.show(torch.from_numpy(features[fit]), torch.from_numpy(labels[fit]))
    said = alone.answers(torch.from_numpy(features[out]), found.strength).softmax(1).numpy()
    np.testing.assert_allclose(found.held_out[out], said, rtol=1e-4, atol=1e-5)
    assert found.scores.max() == found.scores[0, list(kind.choices).index(found.strength)]


@pytest.mark.parametrize("kind", [Prototypes, Nearest])
def test_one_row_a_class_is_enough(kind: Any) -> None:
    features, labels = problem(3)
    head = kind(8, 3)
    head.settle(head.solve(features, labels, [(np.array([0, 1]), np.array([2]))]))
    said = head(torch.from_numpy(features)).numpy()
    assert (said.argmax(1) == labels).all()
    told = head.predict(said)
    np.testing.assert_allclose(told.sum(1), 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_and_its_pack_say_the_same(name: str, tmp_path: Path) -> None:
    data = plugins.Modality("table").tiny.write(tmp_path / "table", "classify", 60, 0)
    source = "builtin:random-features"
    run = hs.adapt(data, strategy=name, source=source, output=tmp_path / "runs", **QUICK)
    assert run.record.facts["strategy"] == name
    again = hs.open_run(run.folder).predict(str(data))
    told = run.record.predictions
    place = {n: i for i, n in enumerate(again.names)}
    found = [place[n] for n in told["names"]]
    assert again.probabilities is not None
    np.testing.assert_allclose(again.probabilities[found], told["outputs"], atol=1e-5)
    card = packs.load(run.folder / "pack").card
    assert ("rows inside" in card) == (name == "nearest")
    assert any("its pack holds" in note for note in run.record.notes) == (name == "nearest")
    assert run.replay()["bitwise"]


def test_refused_for_numbers_and_with_settings_of_trainings(tmp_path: Path) -> None:
    data = plugins.Modality("table").tiny.write(tmp_path / "table", "regress", 40, 0)
    for name in NAMES:
        with pytest.raises(PlanError, match="choose linear_probe"):
            hs.adapt(data, strategy=name, output=tmp_path / "runs", **QUICK)
