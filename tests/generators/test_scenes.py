"""Pictures by formula: the same seed draws the same, values and labels keep their ranges."""

import pytest
import torch

from headstart.generators.scenes import ABSENT, Counts, Scenes

FEW = Counts(strokes=6, contours=4, fractals=4, textures=4)


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return Scenes(seed=3, size=32, counts=FEW)


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shapes_types_and_ranges(scenes: Scenes) -> None:
    pictures, labels = scenes.draw(40, _rng(0))
    assert pictures.shape == (40, 3, 32, 32)
    assert pictures.dtype == torch.uint8
    assert labels.shape == (40, 4)
    assert labels.dtype == torch.int64
    for column, classes in zip(labels.T, scenes.groups, strict=True):
        known = column[column != ABSENT]
        assert known.numel() > 0
        assert known.min() >= 0
        assert known.max() < classes


def test_groups_count_all_classes(scenes: Scenes) -> None:
    assert scenes.groups[:2] == (14, 4)


def test_same_seed_same_pictures() -> None:
    first = Scenes(seed=3, size=32, counts=FEW).draw(20, _rng(5))
    second = Scenes(seed=3, size=32, counts=FEW).draw(20, _rng(5))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_other_random_numbers_other_pictures(scenes: Scenes) -> None:
    assert not torch.equal(scenes.draw(20, _rng(5))[0], scenes.draw(20, _rng(6))[0])


def test_other_seed_other_classes() -> None:
    other = Scenes(seed=4, size=32, counts=FEW)
    assert not torch.equal(other.strokes.points, Scenes(seed=3, counts=FEW).strokes.points)


def test_bare_pictures_name_neither_shape_nor_its_hue() -> None:
    empty = Scenes(seed=0, size=32, counts=Counts(4, 4, 4, 4, bare=1.0))
    _, labels = empty.draw(16, _rng(0))
    assert (labels[:, 0] == ABSENT).all()
    assert (labels[:, 2] == ABSENT).all()


def test_easy_pictures_have_no_texture(scenes: Scenes) -> None:
    _, labels = scenes.draw(16, _rng(0), hardness=0.0)
    assert (labels[:, 1] == ABSENT).all()


def test_pictures_vary_and_are_not_blank(scenes: Scenes) -> None:
    pictures, _ = scenes.draw(40, _rng(1), hardness=0.0)
    assert (pictures.float().std((1, 2, 3)) > 1).float().mean() > 0.9
    grey = (pictures[:, 0] == pictures[:, 1]).flatten(1).all(1)
    assert 0 < grey.sum() < 40
