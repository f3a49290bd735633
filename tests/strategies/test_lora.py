"""Low-rank updates: where they stand, what they compute, and that merging changes nothing."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from headstart.core.network import Network
from headstart.errors import PlanError
from headstart.heads import classify
from headstart.modalities.text import backbones, tiny
from headstart.strategies.lora import Settings, Strategy, Updated
from tests.engine import small

MODULES = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6)),
    "linear of places": (lambda: nn.Linear(6, 5, bias=False), (4, 3, 6)),
    "series": (lambda: nn.Conv1d(6, 5, 3, stride=2, dilation=2, padding=1), (4, 6, 17)),
    "pictures": (lambda: nn.Conv2d(6, 5, (3, 5), padding="same", bias=False), (4, 6, 9, 8)),
    "depthwise": (lambda: nn.Conv2d(6, 12, 3, groups=6), (4, 6, 9, 9)),
    "other padding": (lambda: nn.Conv1d(6, 5, 3, padding=1, padding_mode="circular"), (4, 6, 9)),
}
VARIANTS = ({}, {"rslora": True}, {"dora": True}, {"dora": True, "rslora": True})


def updated(kind: str, **asked: object) -> tuple[Updated, nn.Module, torch.Tensor]:
    """A module with a random update, a copy of it without, and inputs."""
    make, shape = MODULES[kind]
    torch.manual_seed(0)
    inner = make()
    made = Updated(copy.deepcopy(inner), Settings(rank=3, **asked)).eval()  # type: ignore[arg-type]
    return made, inner, torch.randn(shape)


@pytest.mark.parametrize("asked", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", MODULES)
def test_it_begins_as_the_module_and_merges_into_it(kind: str, asked: dict[str, bool]) -> None:
    made, inner, value = updated(kind, **asked)
    with torch.no_grad():
        torch.testing.assert_close(made(value), inner(value), atol=1e-5, rtol=0)
        made.up.normal_()
        if made.size is not None:
            made.size.mul_(torch.rand_like(made.size) + 0.5)
        said, weight = made(value), made.weight
        merged = made.merged()
        assert type(merged) is type(inner)
        torch.testing.assert_close(merged(value), said, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(merged.weight, weight)
        assert not torch.allclose(inner(value), said)


def test_the_update_is_the_papers() -> None:
    made, inner, _ = updated("pictures", alpha=6.0)
    with torch.no_grad():
        made.up.normal_()
        whole = inner.weight + (6.0 / 3) * (made.up @ made.down).view_as(inner.weight)
        torch.testing.assert_close(made.weight, whole)
    assert Settings(rank=9, alpha=6.0, rslora=True).scale == pytest.approx(6.0 / math.sqrt(9))


def test_dora_trains_the_length_of_each_row_apart() -> None:
    made, _, _ = updated("linear", dora=True)
    with torch.no_grad():
        made.up.normal_()
        made.size.fill_(2.0)  # type: ignore[union-attr]
        torch.testing.assert_close(made.weight.norm(dim=1), torch.full((5,), 2.0))


def test_no_gradient_as_large_as_the_weight_is_made() -> None:
    for kind in MODULES:
        made, _, value = updated(kind)
        made.inner.requires_grad_(False)
        made(value).square().sum().backward()
        assert made.inner.weight.grad is None
        assert made.up.grad is not None and made.up.grad.abs().sum() > 0, kind


def test_dropout_acts_on_the_update_alone() -> None:
    made, inner, value = updated("linear", dropout=0.5)
    made.train()
    with torch.no_grad():
        torch.testing.assert_close(made(value), inner(value))
        made.up.normal_()
        assert not torch.equal(made(value), made(value))


class Read(small.Small):
    """A network with attention that reads a weight without calling its module, a module that stands in two
    places, two that share a weight, and one whose weight is made of others."""

    def __init__(self) -> None:
        super().__init__()
        width = small.WIDTH
        self.last = nn.ModuleDict(
            {
                "attend": nn.MultiheadAttention(width, 2, batch_first=True),
                "first": nn.Linear(width, width),
                "tied": nn.Linear(width, width),
                "tied too": nn.Linear(width, width),
                "normed": weight_norm(nn.Linear(width, width)),
            }
        )
        self.last["again"] = self.last["first"]
        self.last["tied too"].weight = self.last["tied"].weight

    def run(self, state, start=0, stop=None):  # type: ignore[no-untyped-def]
        value = state["x"]
        for name in self.stages[start:stop]:
            if name != "last":
                value = self.get_submodule(name)(value)
                continue
            value = self.last["attend"](value[:, None], value[:, None], value[:, None])[0][:, 0]
            value = self.last["again"](torch.tanh(self.last["first"](value)))
            value = self.last["normed"](self.last["tied too"](self.last["tied"](value)))
        return {"x": value}


def network(backbone: nn.Module) -> Network:
    targets = classify.learn([0, 1, 2])
    return Network(backbone, {"classify": classify.Head(small.WIDTH, targets)}).eval()  # type: ignore[arg-type]


def test_whatever_reads_a_weight_reads_the_updated_one() -> None:
    torch.manual_seed(0)
    made = network(Read())
    before = {n: t.clone() for n, t in made.state_dict().items()}
    strategy = Strategy(Settings(rank=2))
    strategy.prepare(made, {})
    wrapped = [n for n, m in made.backbone.named_modules() if isinstance(m, Updated)]
    assert wrapped == ["first", "last.attend.out_proj", "last.first"]
    assert made.backbone.last["again"] is made.backbone.last["first"]
    inputs = {"x": torch.randn(5, 4)}
    made(inputs)["classify"].sum().backward()
    with torch.no_grad():
        for module in made.backbone.modules():
            if isinstance(module, Updated):
                module.up.normal_()
        said = made(inputs, want="features")
        strategy.finish(made)
        torch.testing.assert_close(made(inputs, want="features"), said, atol=1e-5, rtol=1e-5)
    after = made.state_dict()
    assert after.keys() == before.keys()
    moved = {n for n in after if not torch.equal(after[n], before[n])}
    weights = {f"backbone.{n}.weight" for n in wrapped} | {"backbone.last.again.weight"}
    assert moved == weights


def test_below_the_cut_and_beside_the_pattern_nothing_is_wrapped() -> None:
    made = small.network()
    assert len(Strategy(Settings(cut=0)).phases(made)) == 2
    for settings, expected in (
        (Settings(cut=-1), ["last.1"]),
        (Settings(modules="first"), ["first"]),
    ):
        one = copy.deepcopy(made)
        strategy = Strategy(settings)
        strategy.prepare(one, {})
        found = [n for n, m in one.backbone.named_modules() if isinstance(m, Updated)]
        assert found == expected
        assert strategy.phases(one)[-1].cut == (2 if settings.cut else 0)


def test_what_has_nothing_to_wrap_is_refused_with_what_would_serve() -> None:
    causal = backbones.stage(tiny.onward(0))
    targets = classify.learn([0, 1])
    made = Network(causal, {"classify": classify.Head(causal.width, targets)})
    for settings in (Settings(), Settings(modules="attention")):
        why = Strategy(settings).refuse(made)
        assert "no linear or convolution module" in why and "fine_tune" in why
    assert "'nowhere'" in Strategy(Settings(modules="nowhere")).refuse(small.network())
    assert Strategy(Settings()).refuse(small.network()) == ""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"rank": 0}, "rank came as 0"),
        ({"alpha": -1.0}, "above 0"),
        ({"rate": 0.0}, "rate"),
        ({"dropout": 1.0}, "0 <= dropout < 1"),
        ({"modules": "("}, "no regular expression"),
    ],
)
def test_bad_settings_are_named(asked: dict[str, object], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Settings(**asked)  # type: ignore[arg-type]


def test_a_cut_that_is_not_there_is_named() -> None:
    with pytest.raises(PlanError, match=r"lora.cut came as 7.*3 stages"):
        Strategy(Settings(cut=7)).phases(small.network())
