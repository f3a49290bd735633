"""Pictures to inputs: timm's evaluation transform to the bit, quick ways close to it."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from headstart.core.dataset import Field
from headstart.errors import SourceError
from headstart.modalities.image import batch
from headstart.modalities.image.batch import AUGMENTATIONS, PictureTransform

FIELDS = (Field("picture", "image"),)
SETTINGS = {
    "input_size": (3, 96, 96),
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "interpolation": "bicubic",
    "crop_pct": 0.875,
}


def transform(**settings: object) -> PictureTransform:
    return batch.make({**SETTINGS, **settings}, FIELDS, [])


def encoded(width: int, height: int, kind: str = "PNG", seed: int = 0) -> bytes:
    """A smooth random picture with some noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(picture).astype(int) + rng.integers(-20, 21, (height, width, 3))
    held = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(held, kind)
    return held.getvalue()


def both(size: tuple[int, int], side: int, interpolation: str, crop: float) -> torch.Tensor:
    """Levels of 255 by which a picture at rest and timm's differ, (3, side, side)."""
    data = pytest.importorskip("timm.data")
    settings = {"interpolation": interpolation, "crop_pct": crop}
    peer = data.create_transform(
        (3, side, side), mean=SETTINGS["mean"], std=SETTINGS["std"], **settings
    )
    held = encoded(*size)
    ours = transform(input_size=(3, side, side), **settings)
    made = ours.collate([ours({"picture": held})])["pixels"][0]
    theirs = peer(Image.open(io.BytesIO(held)).convert("RGB"))
    return (made - theirs).abs() * torch.tensor(SETTINGS["std"])[:, None, None] * 255


@pytest.mark.parametrize("size", [(200, 150), (231, 500), (96, 96), (40, 61), (97, 2000)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop", [0.875, 0.95, 1.0])
def test_equal_to_timm(size: tuple[int, int], interpolation: str, crop: float) -> None:
    assert both(size, 96, interpolation, crop).max() < 1e-3


@pytest.mark.parametrize("size", [(400, 400), (533, 400)])
def test_pixels_that_are_not_averaged_are_the_same(size: tuple[int, int]) -> None:
    assert both(size, 64, "nearest", 0.875).max() < 1e-3


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (640, 360), (700, 700), (1600, 320)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize("crop", [0.875, 0.95, 1.0])
def test_a_large_picture_is_one_level_off_at_a_few_pixels(
    size: tuple[int, int], interpolation: str, crop: float
) -> None:
    gap = both(size, 64, interpolation, crop)
    assert gap.max() < 1.001
    assert (gap > 1e-3).double().mean() < 2e-3


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_fast_profile_is_close(kind: str) -> None:
    exact = transform()
    fast = exact.profile("fast")
    assert fast.digest != exact.digest
    held = {"picture": encoded(640, 480, kind)}
    one, other = (t(held)["pixels"].astype(int) for t in (exact, fast))
    assert one.shape == other.shape == (96, 96, 3)
    assert np.abs(one - other).mean() < 6


def test_a_thin_picture_does_not_fill_memory() -> None:
    held = {"picture": encoded(2, 6000)}
    whole = transform(input_size=(3, 224, 224))
    assert whole._resized((2, 6000))[1] > 600_000
    assert whole(held)["pixels"].shape == (224, 224, 3)


def test_grey_networks_get_one_channel() -> None:
    grey = transform(input_size=(1, 32, 48), mean=(0.5,), std=(0.5,))
    made = grey.collate([grey({"picture": encoded(80, 60)})] * 2)["pixels"]
    assert made.shape == (2, 1, 32, 48)
    assert -1 <= float(made.min()) < float(made.max()) <= 1


def test_augmentation_varies_by_the_generator_alone() -> None:
    whole = transform(augment=AUGMENTATIONS)
    held = {"picture": encoded(120, 90)}
    first, again, other = (
        whole(held, np.random.default_rng(seed))["pixels"].astype(int) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert np.abs(first - other).mean() > 2
    still = dataclasses.replace(whole, augment=())
    assert (
        np.abs(
            still(held, np.random.default_rng(1))["pixels"] - whole(held)["pixels"].astype(int)
        ).max()
        <= 1
    )


def test_augmentation_leaves_the_digest_alone() -> None:
    assert transform(augment=()).digest == transform(augment=AUGMENTATIONS).digest


def test_the_state_comes_back_whole() -> None:
    import json

    whole = transform().profile("fast")
    again = batch.restore(json.loads(json.dumps(whole.state())))
    assert again == whole
    assert again.digest == whole.digest


def test_an_unknown_interpolation_is_refused() -> None:
    with pytest.raises(SourceError, match="'cubic' is not known; expected one of nearest"):
        transform(interpolation="cubic")
