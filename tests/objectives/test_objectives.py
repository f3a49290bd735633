"""Losses of the objectives on planted cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from headstart.core.network import Network
from headstart.core.objective import CAPTIONS, TWINS
from headstart.core.strategy import Batch
from headstart.engine.streams import Looked
from headstart.errors import PlanError
from headstart.objectives import byol, clip, dino, masked, simclr, supervised, vicreg
from headstart.objectives._places import Layout, Restorer, _grid, hidden, layout
from testing._things import staged
from tests.engine.small import Small


def network() -> Network:
    torch.manual_seed(0)
    return Network(Small(), {})


def batch(rows: int = 16, views: int = 2) -> dict[str, Batch]:
    torch.manual_seed(1)
    return {"train": Batch({"x": torch.randn(views * rows, 4)}, {})}


def test_contrast_is_low_for_views_that_agree_and_near_chance_for_noise() -> None:
    torch.manual_seed(0)
    apart = torch.eye(8)
    assert simclr.contrast(torch.cat([apart, apart]), 0.1) < 0.01
    noise = simclr.contrast(torch.randn(64, 512), 10.0)
    assert float(noise) == pytest.approx(math.log(63), abs=0.05)
    swapped = torch.cat([apart, apart.roll(1, 0)])
    assert simclr.contrast(swapped, 0.1) > 5


class Told:
    """A stream of samples with captions of width 3."""

    def batch(self, places: np.ndarray, epoch: int) -> Batch:
        rows = np.asarray(places)
        values = Looked(np.eye(3, dtype=np.float32), rows % 3)[rows]
        twins = torch.from_numpy(np.stack([rows % 3, rows], 1))
        inputs = {"x": torch.randn(len(rows), 4)}
        return Batch(inputs, {CAPTIONS: torch.from_numpy(values), TWINS: twins})


def paired(**settings: float) -> tuple[clip.Objective, Network]:
    torch.manual_seed(0)
    made, net = clip.Objective(clip.Settings(out=5, **settings)), network()
    made.prepare(net, {"train": Told()})
    return made, net


def test_twins_share_what_is_wanted_and_others_do_not() -> None:
    alone = torch.tensor([[0, 0], [1, 1], [2, 2]])
    assert torch.equal(clip.shares(alone), torch.eye(3))
    twins = torch.tensor([[0, 0], [0, 1], [1, 1], [2, 2]])  # one caption twice, one sample twice
    expected = torch.tensor(
        [[1 / 2, 1 / 2, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0], [0, 1 / 2, 1 / 2, 0], [0, 0, 0, 1.0]]
    )
    assert torch.allclose(clip.shares(twins), expected)


def test_pairs_cost_least_where_they_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    made, net = paired(temperature=0.05)
    told = {TWINS: torch.tensor([[k, k] for k in range(8)])}
    batch = {"train": Batch({}, told)}
    losses = []
    for other in (torch.eye(8), torch.ones(8, 8) / 8**0.5, torch.eye(8).roll(1, 0)):
        sides = (torch.eye(8), other)
        monkeypatch.setattr(made, "sides", lambda network, batch, sides=sides: sides)
        losses.append(float(sum(v.detach() for v in made.loss(net, batch, 0.0).values())))
    assert losses[0] < 1e-3
    assert losses[1] == pytest.approx(math.log(8), abs=1e-4)
    assert losses[2] > 10


def test_both_directions_teach_both_maps_the_temperature_and_the_backbone() -> None:
    made, net = paired()
    batch = {"train": Told().batch(np.arange(6), 0)}
    parts = made.loss(net, batch, 0.0)
    assert set(parts) == {"to captions", "to samples"}
    for part in parts.values():
        made.zero_grad()
        net.zero_grad()
        part.backward(retain_graph=True)
        learning = (made.sample.weight, made.caption.weight, net.backbone.first.weight)
        assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in learning)
        assert float(made.scale.grad) != 0


def test_the_inverse_of_the_temperature_stays_between_1_and_100() -> None:
    made, net = paired(temperature=0.07)
    assert float(made.scale.detach().exp()) == pytest.approx(1 / 0.07, rel=1e-4)
    for value, kept in ((9.0, 100.0), (-1.0, 1.0)):
        with torch.no_grad():
            made.scale.fill_(value)
        made.after_step(net, 0.0)
        assert float(made.scale.detach().exp()) == pytest.approx(kept, rel=1e-4)


def test_what_is_kept_leads_into_the_common_space() -> None:
    made, net = paired()
    batch, kept = Told().batch(np.arange(5), 0), made.keeps()
    with torch.no_grad():
        mine, other = made.sides(net, batch)
        features = net(batch.inputs, want="features")
    assert torch.allclose(mine, functional.normalize(features @ kept["sample"].T, dim=1))
    assert torch.allclose(
        other, functional.normalize(batch.targets[CAPTIONS] @ kept["caption"].T, dim=1)
    )


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"temperature": 2.0}, {"out": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=r"(?i)expected"):
        clip.Settings(**wrong)


def test_variance_and_covariance_are_zero_only_where_they_should_be() -> None:
    torch.manual_seed(0)
    white = torch.randn(4000, 6) * 1.2
    assert float(vicreg.spread(white)) == 0
    assert float(vicreg.shared(white)) < 0.02
    assert float(vicreg.spread(torch.ones(10, 6))) == pytest.approx(0.99, abs=1e-3)
    assert float(vicreg.shared(white[:, :1].expand(-1, 6))) > 5


def test_vicreg_parts_carry_their_weights() -> None:
    made = vicreg.Objective(vicreg.Settings(hidden=16, invariance=0.0))
    net = network()
    made.prepare(net, {})
    parts = made.loss(net, batch(), 0.0)
    assert float(parts["invariance"].detach()) == 0
    assert float(parts["variance"].detach()) > 0


def test_a_teacher_follows_and_asks_for_no_gradient() -> None:
    made = byol.Objective(byol.Settings(hidden=8, out=4, momentum=0.5))
    net = network()
    made.prepare(net, {})
    teacher = made.teacher.backbone.first.weight
    before = teacher.clone()
    sum(made.loss(net, batch(), 0.0).values()).backward()
    assert all(p.grad is None for p in made.teacher.parameters())
    assert net.backbone.first.weight.grad is not None
    with torch.no_grad():
        net.backbone.first.weight.add_(1.0)
    made.after_step(net, 0.0)
    moved = (teacher - before).mean()
    assert 0.5 <= float(moved) < 1.0
    assert "teacher.backbone.first.weight" in made.state_dict()
    made.after_step(net, 1.0)
    assert torch.allclose(
        made.teacher.backbone.first.weight - before, torch.full((), 1.0), atol=0.2
    )


def test_dino_hands_back_its_teacher() -> None:
    made = dino.Objective(dino.Settings(groups=8, hidden=8, out=4))
    net = network()
    made.prepare(net, {})
    made.loss(net, batch(), 0.0)
    with torch.no_grad():
        net.backbone.first.weight.add_(1.0)
    made.after_step(net, 0.5)
    made.finish(net)
    assert torch.equal(net.backbone.first.weight, made.teacher.backbone.first.weight)


def test_no_group_takes_all() -> None:
    torch.manual_seed(0)
    scores = torch.randn(32, 4) * 0.01 + torch.tensor([0.9, 0.0, 0.0, 0.0])
    assert float((scores / 0.02).softmax(1)[:, 0].mean()) > 0.99
    shares = dino.balanced(scores, 0.02)
    assert torch.allclose(shares.sum(1), torch.ones(32))
    assert float(shares.mean(0).max()) < 0.35


class Labelled:
    """A stream that says how many classes there are."""

    def __init__(self, **classes: int) -> None:
        self.classes = classes


def test_labels_that_are_missing_cost_nothing_and_uncertainty_is_learned() -> None:
    made = supervised.Objective(supervised.Settings(smoothing=0.0))
    net = network()
    made.prepare(net, {"train": Labelled(shape=3, hue=2)})
    inputs = batch(6, 1)["train"].inputs
    gone = torch.full((6,), supervised.ABSENT)
    one = {"train": Batch(inputs, {"shape": torch.tensor([0, 1, 2, 0, 1, 2]), "hue": gone})}
    parts = made.loss(net, one, 0.0)
    assert float(parts["hue"]) == 0
    assert float(parts["shape"]) > 0
    sum(parts.values()).backward()
    pull: Tensor = made.uncertainty.grad
    assert float(pull[0]) < 0 < float(pull[1])  # a large loss is trusted less, one of nothing more


def test_one_column_of_labels_is_not_weighted() -> None:
    made = supervised.Objective(supervised.Settings())
    made.prepare(network(), {"train": Labelled(label=3)})
    assert not hasattr(made, "uncertainty")


@pytest.mark.parametrize(
    ("places", "high", "wide", "expected"),
    [(16, 32, 32, (4, 4)), (1, 24, 24, (1, 1)), (8, 16, 32, (2, 4)), (15, 32, 32, None)],
)
def test_places_form_a_grid(
    places: int, high: int, wide: int, expected: tuple[int, int] | None
) -> None:
    assert _grid(places, high, wide) == expected


def test_a_share_of_the_units_is_hidden() -> None:
    torch.manual_seed(0)
    marks = hidden(50, (24, 24), 4, 0.5, torch.device("cpu"))
    assert marks.shape == (50, 24, 24)
    assert marks.float().mean() == 0.5
    units = marks.reshape(50, 6, 4, 6, 4).transpose(2, 3).flatten(3)
    assert bool((units.all(3) | ~units.any(3)).all())
    odd = hidden(5, (13,), 4, 0.5, torch.device("cpu"))
    assert odd.shape == (5, 13)
    assert bool(odd.any(1).all())
    assert not bool(odd.all(1).any())


def test_pieces_are_put_back_where_they_came_from() -> None:
    laid = Layout("x", (2, 2), (3, 3), False, 1, 2)
    made = Restorer(18, laid)
    with torch.no_grad():
        made.linear.weight.copy_(torch.eye(18))
        made.linear.bias.zero_()
    picture = torch.arange(72.0).reshape(1, 2, 6, 6)
    pieces = picture.reshape(1, 2, 2, 3, 2, 3).permute(0, 2, 4, 1, 3, 5).reshape(1, 4, 18)
    places = torch.cat([torch.zeros(1, 1, 18), pieces], 1)

    class Told:
        backbone = type("B", (), {"positions": staticmethod(lambda state: (places, None))})()

        def __call__(self, inputs: object, want: str) -> dict[str, Tensor]:
            return {}

    assert torch.equal(made(Told(), {}), picture)


@pytest.mark.parametrize("kind", ["image", "series"])
def test_only_what_was_hidden_counts(kind: str) -> None:
    made = staged(f"{kind}/tiny")
    net = Network(made.backbone, {})
    laid = layout(net, made.inputs)
    restorer = Restorer(made.backbone.width, laid)
    value = made.inputs[laid.name]
    steps = restorer.steps(value)
    where = torch.zeros((len(value), *steps), dtype=torch.bool)
    where[:, :2] = True
    wrong = value.clone()
    axis = 1 if laid.last else 2
    wrong.narrow(axis, 2, steps[0] - 2).add_(5.0)
    assert float(restorer.error(wrong, value, where)) == 0
    wrong.narrow(axis, 0, 1).add_(1.0)
    assert float(restorer.error(wrong, value, where)) == pytest.approx(0.5, abs=1e-4)


def test_inputs_without_a_shape_are_refused() -> None:
    made = staged("text/tiny")
    with pytest.raises(PlanError, match="Choose another objective"):
        layout(Network(made.backbone, {}), made.inputs)


def test_a_backbone_without_places_is_refused() -> None:
    why = masked.Objective(masked.Settings()).refuse(network())
    assert "places" in why
