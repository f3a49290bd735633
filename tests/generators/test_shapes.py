"""Strokes, contours, fractals and textures: ranges, classes that differ, samples that vary."""

import pytest
import torch

from headstart.generators import ink
from headstart.generators.contours import Contours
from headstart.generators.fractals import DEPTH, MAPS, Fractals, attractor
from headstart.generators.strokes import Strokes
from headstart.generators.textures import Textures

KINDS = [Strokes, Contours, Fractals]


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_between_zero_and_one(kind: type) -> None:
    masks = kind(5, 0).draw(torch.arange(5).repeat(4), 32, _rng())
    assert masks.shape == (20, 32, 32)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert (masks.flatten(1).amax(1) > 0.5).float().mean() > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_deterministic_by_seed(kind: type) -> None:
    labels = torch.arange(4)
    first = kind(4, 7).draw(labels, 32, _rng(1))
    assert torch.equal(first, kind(4, 7).draw(labels, 32, _rng(1)))
    assert not torch.equal(first, kind(4, 8).draw(labels, 32, _rng(1)))


@pytest.mark.parametrize("kind", KINDS)
def test_classes_differ_more_than_samples_of_one(kind: type) -> None:
    """With the same random hand, two classes differ; mean pictures tell classes apart."""
    shapes = kind(6, 1)
    each = 150
    masks = shapes.draw(torch.arange(6).repeat_interleave(each), 24, _rng(2)).flatten(1)
    masks = masks.reshape(6, each, -1)
    means = masks[:, : each // 2].mean(1)
    again = masks[:, each // 2 :].mean(1)
    nearest = torch.cdist(again, means).argmin(1)
    assert (nearest == torch.arange(6)).float().mean() >= 0.5
    assert (masks[:, 0] - masks[:, 1]).abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_works_at_other_sizes(kind: type) -> None:
    assert kind(2, 0).draw(torch.tensor([0, 1]), 96, _rng()).shape == (2, 96, 96)


def test_straight_line_is_inked_on_its_course() -> None:
    steps = torch.linspace(-0.8, 0.8, 64)
    points = torch.stack([steps, torch.zeros(64)], -1).reshape(1, 1, 64, 2)
    mask = ink.line(points, torch.full((1, 1, 64), 0.08), torch.ones(1, 1), 33, torch.tensor([3.0]))
    assert mask[0, 16, 16] == 1
    assert mask[0, 4, 16] == 0


def test_scatter_counts_points_inside() -> None:
    points = torch.tensor([[[-0.9, -0.9], [0.9, -0.9], [0.9, -0.9], [1.5, 0.0]]])
    grid = ink.scatter(points, 2)
    assert grid.tolist() == [[[1, 2], [0, 0]]]


def test_attractor_of_one_repeated_map_is_its_fixed_point() -> None:
    single = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.5, -0.25]])
    points = attractor(single.expand(1, MAPS, 2, 3))
    assert points.shape == (1, MAPS**DEPTH, 2)
    assert torch.allclose(points[0, 0], torch.tensor([1.0, -0.5]), atol=0.02)


def test_textures_are_standardised_and_differ() -> None:
    textures = Textures(4, 0, each=3, side=40)
    planes = textures.draw(torch.arange(4), 24, _rng())
    assert planes.shape == (4, 2, 24, 24)
    assert torch.isfinite(planes).all()
    assert torch.allclose(textures.planes.std((-1, -2)), torch.ones(4, 3, 2), atol=1e-3)
    assert not torch.equal(textures.planes[0], textures.planes[1])


def test_blur_keeps_flat_pictures() -> None:
    flat = torch.full((2, 3, 16, 16), 0.25)
    assert torch.allclose(ink.blur(flat, 1.3), flat, atol=1e-6)
