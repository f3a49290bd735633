"""Random features: the kernel they approximate, drawn weights that never change, and that they help."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from headstart.core import digest
from headstart.core.dataset import Field
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities.table import backbones, batch, champion, tiny

FIELDS = tuple(Field(f"x{i}", "number") for i in range(3))


def rows(count: int, seed: int) -> list[dict[str, float]]:
    values = np.random.default_rng(seed).normal(size=(count, 3))
    return [{f.name: float(v) for f, v in zip(FIELDS, row, strict=True)} for row in values]


def test_products_of_the_waves_approach_the_gaussian_kernels() -> None:
    """Mean over bandwidths s * median of exp(-|x - y|^2 / (2 s^2 m^2))."""
    width, features, median = 3, 20_000, 1.7
    made = backbones.RandomFeatures(width, features=features, bandwidth=median, seed=0)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(12, width)).astype(np.float32))
    with torch.no_grad():
        waves = made.pool(made.run({"row": x}))[:, width:].double()
    found = waves @ waves.T / features
    squared = torch.cdist(x.double(), x.double()) ** 2
    kernels = [torch.exp(-squared / (2 * (s * median) ** 2)) for s in backbones.SCALES]
    assert (found - torch.stack(kernels).mean(0)).abs().max() < 0.04


def test_the_drawn_weights_are_these_for_ever() -> None:
    """The digest is pinned: a pack drawn today must be drawn alike in every later version."""
    drawn = backbones.draw(4, 6, bandwidth=1.5, seed=0)
    assert digest.tensors(drawn.items()) == PINNED
    assert digest.tensors(backbones.draw(4, 6, bandwidth=1.5, seed=1).items()) != PINNED


PINNED = "4663c255ae2ef5a62f54e774c611a8c43afca2061bc301b20eb9e5d0815ab3d4"


def test_the_global_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    backbones.draw(4, 6, bandwidth=1.0, seed=0)
    backbones.RandomFeatures(4, features=6, bandwidth=1.0, seed=0)
    assert (np.random.get_state()[1] == legacy).all()
    assert torch.equal(torch.get_rng_state(), before)


def test_staged_without_gradients_it_can_still_be_trained() -> None:
    transform = batch.make({}, FIELDS, rows(40, 0))
    with torch.inference_mode():
        backbone = backbones.stage(tiny.loaded(0), transform)
    inputs = transform.collate([transform(s) for s in rows(4, 1)])
    backbone.requires_grad_(True)
    pooled = backbone.pool(backbone.run(inputs))
    (grad,) = torch.autograd.grad(pooled.square().sum(), [backbone.random.weight])
    assert grad.abs().sum() > 0


def test_the_plan_s_settings_decide_width_and_seed() -> None:
    transform = batch.make({}, FIELDS, rows(40, 0))
    made = tiny.loaded(0)
    facts = {**made.config, "features": "100", "seed": "7"}  # as a URI's settings come
    backbone = backbones.stage(Loaded(made.source, made.module, facts, None), transform)
    assert backbone.width == transform.width + 100


def test_another_source_is_refused() -> None:
    made = tiny.loaded(0)
    other = Loaded(made.source, made.module, {"architecture": "resnet18"}, None)
    with pytest.raises(SourceError, match="random-features"):
        backbones.stage(other, batch.make({}, FIELDS, rows(9, 0)))


def test_waves_tell_what_a_line_cannot() -> None:
    """The sign of a product: chance for a linear model, easy for a kernel machine, and for trees."""
    samples = rows(400, 3)
    targets = np.array([int(s["x0"] * s["x1"] > 0) for s in samples])
    transform = batch.make({}, FIELDS, samples[:250])
    inputs = transform.collate([transform(s) for s in samples])
    backbone = backbones.stage(tiny.loaded(0), transform)
    with torch.no_grad():
        wide = backbone.pool(backbone.run(inputs)).numpy()
    line, waves = (
        LogisticRegression(max_iter=1000).fit(x[:250], targets[:250]).score(x[250:], targets[250:])
        for x in (inputs["row"].numpy(), wide)
    )
    assert line < 0.65
    assert waves > 0.85
    trees = champion.fit_trees(samples[:250], FIELDS, targets[:250], outcome="classify", seed=0)
    assert (trees(samples[250:]).argmax(1) == targets[250:]).mean() > 0.8
