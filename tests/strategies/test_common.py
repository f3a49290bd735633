"""Settings that go with any strategy: by hand, in training alone, through kill and resume, and refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart import select
from headstart.core import common, plugins
from headstart.core.common import Common
from headstart.core.network import Network
from headstart.engine import loop
from headstart.engine.freeze import frozen
from headstart.errors import PlanError
from headstart.heads import classify, label_each, ordinal, regress, tag
from tests.engine import small
from tests.strategies import case
from tests.strategies.test_tuned import Stopped, stop_at

ALL = Common(label_smoothing=0.1, balanced=True, mixup=0.4, clip=0.5)


def composed(name: str, given: Common, **settings: Any):  # type: ignore[no-untyped-def]
    made = case.strategy(name, **settings)
    made.common = given
    return made


def uneven() -> case.Numbers:
    """Five rows of class 0 for each of the others."""
    inputs, labels = small.problem(60)
    labels = np.where(np.arange(60) % 7 < 5, 0, labels)
    return case.Numbers(inputs, labels)


def softmax(logits: np.ndarray) -> np.ndarray:
    grown = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(grown / grown.sum(-1, keepdims=True))


def test_smoothed_and_weighted_cross_entropy_by_hand() -> None:
    head = classify.Head(small.WIDTH, classify.learn([0, 1, 2]))
    logits = np.random.default_rng(0).normal(size=(4, 3))
    labels = np.array([0, 0, 0, 2])
    said = -np.log(softmax(logits))
    wanted = 0.7 * np.eye(3)[labels] + 0.3 / 3
    plain = head.softened(torch.from_numpy(logits), torch.from_numpy(labels), 0.3, None)
    assert float(plain) == pytest.approx((wanted * said).sum() / 4)
    weights = head.balance(labels)
    assert weights.tolist() == pytest.approx([4 / 6, 0.0, 4 / 2])
    found = head.softened(torch.from_numpy(logits), torch.from_numpy(labels), 0.0, weights.double())
    each = weights.numpy()[labels] * said[np.arange(4), labels]
    assert float(found) == pytest.approx(each.sum() / 4, rel=1e-6)


def test_without_smoothing_and_weights_it_is_the_loss() -> None:
    drawn = torch.Generator().manual_seed(0)
    each = torch.randn(3, 5, 2, generator=drawn)
    places = torch.tensor([[0, 1, -1, -1], [1, 1, 1, -1], [0, -1, -1, -1]])
    cases: list[tuple[Any, Any, torch.Tensor, torch.Tensor]] = [
        (classify, [0, 1], each[:, 0], torch.tensor([0, 1, 1])),
        (tag, [("a",), ("b",)], each[:, 0], torch.tensor([[0, 1], [1, 1], [0, torch.nan]])),
        (label_each, [["a", "b"]], each, places),
    ]
    for file, raw, outputs, targets in cases:
        head = file.Head(small.WIDTH, file.learn(raw))
        plain = head.loss(outputs, targets)
        assert torch.allclose(head.softened(outputs, targets, 0.0, None), plain)
        assert head.softened(outputs, targets, 0.2, None) != plain
        weighed = head.softened(outputs, targets, 0.0, head.balance(targets.numpy()))
        assert torch.isfinite(weighed) and weighed != plain
        assert head.classed


def test_tags_weigh_both_answers_alike() -> None:
    head = tag.Head(small.WIDTH, tag.learn([("a",), ("b",)]))
    known = np.array([[1, 0], [0, 0], [0, 0], [np.nan, 0]])
    weights = head.balance(known).numpy()
    np.testing.assert_allclose(weights, [[3 / 4, 1], [3 / 2, 1]])


def test_the_weights_of_the_training_rows_add_up_alike() -> None:
    rows, made, network = uneven(), composed("fine_tune", Common(balanced=True)), case.network()
    made.weigh(network, {"train": rows})
    weights = made.weights_classify.numpy()
    labels = rows.labels.numpy()
    sums = [weights[k] * (labels == k).sum() for k in range(3)]
    np.testing.assert_allclose(sums, 20.0, rtol=1e-5)
    assert made.state_dict() == {}


def test_balance_moves_answers_to_the_rarer_classes() -> None:
    def rare(given: Common) -> float:
        network, rows = case.network(), uneven()
        made = composed("fine_tune", given, cut=2, rate=0.01, patience=0)
        case.train(made, network, rows=rows)
        with torch.no_grad():
            said = network({"x": rows.inputs})["classify"]
        return float((said.argmax(1) != 0).float().mean())

    assert rare(Common(balanced=True)) > rare(Common())


def test_mixed_features_and_losses_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    made, network, batch = composed("fine_tune", Common(mixup=0.3)), case.network(), case.batch(6)
    case.settle(network, made.phases(network)[0])
    other = torch.tensor([1, 0, 3, 2, 5, 4])
    monkeypatch.setattr(torch, "randperm", lambda n: other)
    monkeypatch.setattr(torch.distributions.Beta, "sample", lambda self: torch.tensor(0.3))
    with frozen(network, made.phases(network)[-1]):
        found = made.loss(network, {"train": batch}, 0.0)["classify"]
    with torch.no_grad():
        features = network(batch.inputs, want="features")
        logits = network.heads["classify"].linear(0.3 * features + 0.7 * features[other]).numpy()
    labels, rows = batch.targets["classify"].numpy(), np.arange(6)
    said = -np.log(softmax(logits))
    wanted = 0.3 * said[rows, labels] + 0.7 * said[rows, labels[other.numpy()]]
    assert float(found.detach()) == pytest.approx(float(wanted.mean()), rel=1e-5)


@pytest.mark.parametrize("name", ["fine_tune", "bss", "delta"])
def test_all_of_them_ended_and_resumed_give_equal_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    whole, again = case.network(), case.network()
    case.train(composed(name, ALL), whole)
    with pytest.raises(Stopped):
        case.train(composed(name, ALL), case.network(), tmp_path, alive=stop_at(8))
    case.train(composed(name, ALL), again, tmp_path)
    assert case.same(case.tensors(whole), case.tensors(again)) == []
    plain = case.network()
    case.train(case.strategy(name), plain)
    assert case.same(case.tensors(whole), case.tensors(plain))


def test_what_is_told_of_validation_is_the_plain_loss() -> None:
    network, made = case.network(), composed("fine_tune", ALL, patience=0, epochs=1)
    done = case.train(made, network)
    rows = case.stream().batch(np.arange(48, 60), -1)
    with torch.no_grad():
        said = network(rows.inputs)["classify"]
    plain = float(torch.nn.functional.cross_entropy(said, rows.targets["classify"]))
    assert done.history[-1]["validation"] == pytest.approx(plain, rel=1e-5)


def test_clipping_bounds_the_step_and_zero_leaves_it() -> None:
    def trained(clip: float) -> dict[str, torch.Tensor]:
        network = case.network()
        case.train(composed("fine_tune", Common(clip=clip), epochs=1), network)
        return case.tensors(network)

    assert case.same(trained(0.0), trained(1e6)) == []
    assert case.same(trained(0.0), trained(1e-3))


def test_every_strategy_that_trains_has_what_people_expect() -> None:
    found = {}
    for name in plugins.names("strategy"):
        file = plugins.load("strategy", name)
        kept = {f.name for f in dataclasses.fields(file.Settings)}
        if "epochs" in kept and file.Strategy.chooses:  # others have no held-out loss to stop by
            found[name] = {"dropout", "weight_decay", "patience", "augment"} - kept
    assert set(found) >= {"fine_tune", "lora", "adapter", "bitfit", "prompt", "l2_sp", "distill"}
    assert not any(found.values()), found


@pytest.mark.parametrize("name", ["fine_tune", "lora", "adapter", "distill"])
def test_decay_shrinks_matrices_and_negative_ones_are_refused(name: str) -> None:
    def size(decay: float) -> float:
        made, network = case.strategy(name, weight_decay=decay, patience=0), case.network()
        rows = case.Taught(*small.problem(60)) if made.asks else None
        case.train(made, network, rows=rows)
        return float(network.heads["classify"].linear.weight.detach().norm())

    assert size(5.0) < size(0.0)
    for setting in ("weight_decay", "patience"):
        with pytest.raises(PlanError, match=f"{name}.{setting} came as -1"):
            case.strategy(name, **{setting: -1})


BAD = [
    ({"label_smoothing": 1.0}, "expected 0 <= label_smoothing < 1"),
    ({"mixup": -0.1}, "expected 0 or more"),
    ({"clip": float("nan")}, "expected 0 or more"),
]


@pytest.mark.parametrize(("settings", "told"), BAD)
def test_a_setting_out_of_range_is_told_with_its_name(
    settings: dict[str, float], told: str
) -> None:
    (name,) = settings
    with pytest.raises(PlanError, match=told) as caught:
        Common(**settings)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{name} came as")


def test_outcomes_without_classes_refuse_what_needs_them() -> None:
    backbone = case.network().backbone
    for head in (
        regress.Head(6, regress.learn([1.0, 2.0])),
        ordinal.Head(6, ordinal.learn([1, 2])),
    ):
        network = Network(backbone, {"other": head})
        assert "balanced needs classes" in common.refuse(Common(balanced=True), network)
        assert "label_smoothing needs" in common.refuse(Common(label_smoothing=0.1), network)
        assert common.refuse(Common(mixup=0.2, clip=0.5), network) == ""
    each = Network(backbone, {"each": label_each.Head(6, label_each.learn([["a", "b"]]))})
    assert "single positions" in common.refuse(Common(mixup=0.2), each)
    assert common.refuse(Common(balanced=True, label_smoothing=0.1), each) == ""


def test_what_trains_nothing_or_has_a_loss_of_its_own_refuses_them() -> None:
    network, given = case.network(), Common(mixup=0.2)
    probe = plugins.load("strategy", "linear_probe")
    solved = probe.Strategy(probe.Settings())
    assert select._not_composed(solved, network) == ""
    solved.common = given
    assert "nothing is trained step by step, so mixup" in select._not_composed(solved, network)
    made = composed("fine_tune", given)
    assert select._not_composed(made, network) == ""
    made.composes = False
    assert "a loss of its own, which mixup" in select._not_composed(made, network)
    made.common = Common(clip=0.1)
    assert select._not_composed(made, network) == ""


def test_they_are_set_beside_the_strategys_own_and_a_typing_error_names_the_nearest() -> None:
    file = plugins.load("strategy", "l2_sp")
    made = select.built("l2_sp", file, {"alpha": 0.5, "mixup": 0.2, "balanced": True})
    assert made.settings == file.Settings(alpha=0.5)
    assert made.common == Common(mixup=0.2, balanced=True)
    assert made.common.changed == ("balanced", "mixup")
    with pytest.raises(PlanError, match="label_smoothing"):
        select.built("l2_sp", file, {"label_smothing": 0.1})
    with pytest.raises(PlanError, match="alpha"):
        select.built("l2_sp", file, {"alpa": 0.1})
    with pytest.raises(PlanError, match="expected float"):
        select.built("l2_sp", file, {"mixup": "much"})


@pytest.mark.parametrize("name", case.NAMES)
def test_three_rates_are_tried_with_all_else_alike(name: str) -> None:
    made = composed(name, ALL)
    tried = select.variants(made, {})
    assert [v.settings.rate / made.settings.rate for v in tried] == pytest.approx(select.RATES)
    for one in tried:
        assert type(one) is type(made) and one.common == ALL
        assert dataclasses.replace(one.settings, rate=made.settings.rate) == made.settings
    assert select.variants(made, {"rate": 0.02}) == [made]
