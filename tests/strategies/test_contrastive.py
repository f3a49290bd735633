"""Tuning by pairs: the losses by hand, the head on new features, kill and resume, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart import select
from headstart.core import plugins
from headstart.core.network import Network
from headstart.core.strategy import Batch
from headstart.errors import PlanError
from headstart.heads import regress
from headstart.strategies import contrastive
from testing import _things
from tests.engine import small
from tests.strategies import case
from tests.strategies.test_tuned import Stopped, stop_at

ROWS = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
LABELS = torch.tensor([0, 1, 0])
HALF = float(np.sqrt(0.5))


def made(**settings: Any) -> contrastive.Strategy:
    return contrastive.Strategy(contrastive.Settings(**{"cut": 1, "rate": 0.02, **settings}))


def test_cosine_by_hand() -> None:
    within, between = (1 - HALF) ** 2, (0.0 + HALF**2) / 2
    assert float(contrastive.cosine(ROWS, LABELS)) == pytest.approx((within + between) / 2)


def test_pairs_of_both_kinds_weigh_alike() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1, 1])
    rows = torch.eye(6)  # all similarities are 0: pairs within a class are 1 off, the others right
    assert float(contrastive.cosine(rows, labels)) == pytest.approx(0.5)


def test_supervised_by_hand() -> None:
    warm = 0.5
    first = np.exp(HALF / warm) / (np.exp(HALF / warm) + 1.0)
    third = np.exp(HALF / warm) / (2 * np.exp(HALF / warm))
    found = float(contrastive.supervised(ROWS, LABELS, warm))
    assert found == pytest.approx(-(np.log(first) + np.log(third)) / 2)


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [1, 1, 1]])
@pytest.mark.parametrize("contrast", contrastive.LOSSES)
def test_batches_without_a_kind_of_pair_give_finite_gradients(
    labels: list[int], contrast: str
) -> None:
    rows = ROWS[: len(labels)].clone().requires_grad_()
    classes = torch.tensor(labels)
    if contrast == "cosine":
        loss = contrastive.cosine(rows, classes)
    else:
        loss = contrastive.supervised(rows, classes, 0.1)
    (gradient,) = torch.autograd.grad(loss, [rows])
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("contrast", contrastive.LOSSES)
def test_pairs_come_together_and_the_head_is_solved_after_them(contrast: str) -> None:
    network, strategy = case.network(), made(epochs=20, contrast=contrast)
    told = case.train(strategy, network)
    losses = [record["pairs"] for record in told.of("pairs")]
    assert losses[-1] < 0.9 * losses[0]
    assert not told.of("head") and len(losses) == 20
    now = {name: t.clone() for name, t in network.heads.state_dict().items()}
    case.settle(network, strategy.phases(network)[-1])
    assert all(torch.equal(now[n], t) for n, t in network.heads.state_dict().items())


@pytest.mark.parametrize("start", [0, 2])
def test_rows_of_like_length_go_together_and_nothing_else_changes(start: int) -> None:
    staged = _things.staged("text/tiny")
    data = _things.dataset("text", "classify")
    backbone = _things.passing(staged.backbone)
    targets = plugins.load("head", "classify").learn(list(data.targets(np.arange(20))))
    network = Network.headed(backbone, plugins.load("head", "classify"), targets).eval()
    samples = data.samples(np.arange(20))
    inputs = staged.transform.collate([staged.transform(sample) for sample in samples])
    with torch.no_grad():
        whole = network(inputs, want="features")
        state = network(inputs, stop=start, want="state") if start else inputs
        found = contrastive._features(network, Batch(state, {}, start))
    assert torch.allclose(found, whole, atol=1e-5)


def test_what_lies_below_the_cut_is_frozen() -> None:
    network = case.network()
    before = case.tensors(network)
    case.train(made(cut=2), network)
    moved = case.same(before, case.tensors(network))
    stages = {network.backbone.stage_of(n.removeprefix("backbone.")) for n in moved if "back" in n}
    assert stages == {2}


@pytest.mark.parametrize("step", [1, 7])
def test_a_killed_training_ends_with_equal_weights(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.engine.loop.SAVE_SECONDS", 0.0)
    whole = case.network()
    case.train(made(), whole)
    with pytest.raises(Stopped):
        case.train(made(), case.network(), tmp_path, alive=stop_at(step))
    again = case.network()
    case.train(made(), again, tmp_path)
    assert not case.same(case.tensors(whole), case.tensors(again))


def test_operations_of_new_features_are_counted() -> None:
    told = case.train(made(epochs=1), case.network())
    steps = 48 * (3.0 + 2 * 2.0)  # forward through three stages, backward through two
    assert told.flops == pytest.approx(steps + 48 * 3.0)


def test_outcomes_without_classes_are_refused() -> None:
    network = case.network()
    head = regress.Head(small.WIDTH, regress.learn([0.0, 1.0]))
    assert "no single class" in made().refuse(Network(network.backbone, {"regress": head}))
    assert made().refuse(network) == ""


def test_one_row_a_class_is_refused() -> None:
    assert "prototype" in made().unfit({"classify": np.arange(5)})
    assert made().unfit({"classify": np.array([0, 1, 1])}) == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"contrast": "euclid"}, "supervised or cosine"),
        ({"epochs": 0}, "epochs"),
        ({"temperature": 0.0}, "temperature"),
        ({"weight_decay": -1.0}, "weight_decay"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        made(**settings)


def test_a_cut_beyond_the_network_is_refused_unless_it_is_the_default() -> None:
    network = case.network()
    assert contrastive.Strategy(contrastive.Settings()).cut(network) == 0
    with pytest.raises(PlanError, match="has 3 stages"):
        made(cut=-5).cut(network)


def test_it_goes_by_one_rate() -> None:
    strategy = made()
    assert select.variants(strategy, {}) == [strategy]
    assert len(select.variants(case.strategy("fine_tune"), {})) == 3
    assert not plugins.load("strategy", "contrastive").Strategy.chooses
