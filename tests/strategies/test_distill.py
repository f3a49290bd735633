"""A teacher's words and features against a computation by hand, and rows that it could not read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headstart.core.common import Common
from headstart.engine import loop
from headstart.engine.freeze import frozen
from headstart.errors import ContractError
from headstart.heads import regress
from tests.engine import small
from tests.strategies import case


def parts(rows: case.Taught, places: slice = slice(0, 16), **settings: Any) -> dict[str, float]:
    """Parts of the loss of a training step on a network whose head is settled."""
    made, network = case.strategy("distill", dropout=0.0, **settings), case.network()
    made.prepare(network, {"train": rows})
    case.settle(network, made.phases(network)[0])
    with frozen(network, made.phases(network)[-1]):
        batch = rows.batch(np.arange(60)[places], -1)
        found = made.loss(network, {"train": batch}, 0.5)
    return {name: float(value.detach()) for name, value in found.items()}


def settled() -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of all rows, of the same network."""
    network = case.network()
    case.settle(network, case.strategy("distill").phases(network)[0])
    with torch.no_grad():
        features = network({"x": case.stream().inputs}, want="features")
        logits = network.heads["classify"](features)
    return features.double().numpy(), logits.double().numpy()


def softmax(x: np.ndarray) -> np.ndarray:
    grown = np.exp(x)
    return np.asarray(grown / grown.sum(1, keepdims=True))


def test_what_the_teacher_said_by_hand() -> None:
    rows = case.Taught(*small.problem(60))
    found = parts(rows, weight=0.3, temperature=2.0)
    _, logits = settled()
    told = rows.told["teacher"][:16].astype(np.float64)
    p, q = softmax(np.log(told) / 2), softmax(logits[:16] / 2)
    wanted = 0.3 * 4 * (p * np.log(p / q)).sum(1).mean()
    labels = rows.labels.numpy()[:16]
    task = -np.log(softmax(logits[:16]))[np.arange(16), labels].mean()
    assert set(found) == {"classify", "distill"}
    assert found["distill"] == pytest.approx(wanted, rel=1e-4)
    assert found["classify"] == pytest.approx(0.7 * task, rel=1e-4)


def test_features_are_matched_in_the_teachers_own_spread() -> None:
    rows = case.Taught(*small.problem(60))
    told = rows.told["teacher features"].astype(np.float64)
    wanted = ((told - told.mean(0)) / told.std(0))[:16]
    found = parts(rows, features=0.7)
    assert found["features"] == pytest.approx(0.7 * np.square(wanted).mean(), rel=1e-4)


def test_the_projection_is_learned_and_no_part_of_the_network() -> None:
    rows = case.Taught(*small.problem(60))
    rows.told["teacher features"] = settled()[0][:, :3].astype(np.float32)
    made, network = case.strategy("distill", features=5.0, patience=0, epochs=30), case.network()
    names = set(case.tensors(network))
    done = case.train(made, network, rows=rows)
    told = [record["features"] for record in done.history]
    assert told[0] > 0.5 and told[-1] < 0.3 * told[0]
    assert set(case.tensors(network)) == names


def test_rows_that_the_teacher_could_not_read_count_by_their_labels_alone() -> None:
    rows = case.Taught(*small.problem(60), unread=8)
    whole, half = parts(rows, slice(8, 16), features=1.0), parts(rows, features=1.0)
    for name in ("distill", "features"):
        assert half[name] == pytest.approx(whole[name] / 2, rel=1e-4)
    none = parts(rows, slice(0, 8), features=1.0)
    assert none["distill"] == none["features"] == 0.0 < none["classify"]


def test_a_student_of_the_teacher_alone_learns_what_it_says() -> None:
    rows = case.Taught(*small.problem(60))
    rows.told["teacher"] = np.roll(rows.told["teacher"], 1, axis=1)  # always another class
    network = case.network()
    made = case.strategy("distill", weight=1.0, patience=0, epochs=40)
    loop.train(
        network,
        made,
        {"train": rows},
        training=loop.Training(seed=3, batch=16),
        solve=case.settle,
    )
    with torch.no_grad():
        said = network({"x": rows.inputs})["classify"].argmax(1).numpy()
    taught = rows.told["teacher"].argmax(1)
    assert (said == taught).mean() > 0.7
    assert (said == rows.labels.numpy()).mean() < 0.3


def test_it_goes_with_balance_and_mixup() -> None:
    made = case.strategy("distill", epochs=1)
    made.common = Common(balanced=True, mixup=0.3, label_smoothing=0.1)
    done = case.train(made, case.network())
    assert done.history[-1]["distill"] > 0


def test_it_does_not_begin_without_a_teachers_words_and_takes_classes() -> None:
    made = case.strategy("distill")
    with pytest.raises(ContractError, match="the targets 'teacher'"):
        made.prepare(case.network(), {"train": case.stream()})
    head = regress.Head(small.WIDTH, regress.learn([1.0, 2.0]))
    network = type(case.network())(case.network().backbone, {"regress": head})
    assert "choose fine_tune" in made.refuse(network)
