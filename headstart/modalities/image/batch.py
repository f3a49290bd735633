"""Pictures to model inputs: resize and centre crop, augmentation, collation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from headstart.core import digest
from headstart.core.augment import Policy, Variations
from headstart.core.dataset import Field, Sample
from headstart.errors import SourceError
from headstart.modalities.image import augment as kinds
from headstart.modalities.image import decode
from headstart.modalities.image.augment import affine, border

# Mirroring is left out: it turns letters, digits and X-rays into what they are not.
AUGMENTATIONS = ("scaling", "rotation", "colour", "flip", "crop", "light")
USUAL = ("scaling", "rotation", "colour")
VARIATIONS = kinds.VARIATIONS
# Views of one picture that objectives compare differ more than a picture to be named may (arXiv:2002.05709).
VIEWS = ("crop", "rotation", "light")
LEAST_AREA = 0.35  # of the picture that a crop shows
GREY = 0.2  # chance of a grey picture

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MOST_RESIZED = 30_000_000  # pixels
_PIXELS = 2  # raised whenever the same settings come to give other pixels
MARGIN = 12  # lines beyond a crop that may be resized with it


@dataclass(frozen=True)
class PictureTransform:
    """Resize the shorter side to `side / crop`, cut the centre, normalise: timm's evaluation transform.

    Equal to it to the bit where pictures are small. Where a picture shrinks to less than half, only what
    the crop shows is resized, and of a thousand values at most two may differ by one level of 255, of most
    pictures a few in a hundred thousand. Augmented and "fast" pictures take that quicker way wherever the
    crop lies inside, and so do those too long and thin to be resized whole.

    Attributes:
        field: the sample's field.
        side: height and width of the input, pixels.
        channels: 3, or 1 for networks that read grey.
        mean, std: per channel, of values in 0..1.
        crop: share of the resized shorter side that is kept.
        reduced: JPEGs may be decoded at a reduced scale (profile "fast").
        augment: names out of AUGMENTATIONS that are used when a generator is given.
        policy: what is done then instead, where variations were named; no part of `state`.
    """

    dense: ClassVar[tuple[str, ...]] = ("pixels",)
    grid: ClassVar[tuple[str, ...]] = ("pixels",)
    variations: ClassVar[Variations] = VARIATIONS

    field: str
    side: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crop: float
    reduced: bool = False
    augment: tuple[str, ...] = USUAL
    counts: dict[str, int] = field(default_factory=dict, compare=False, repr=False)
    policy: Policy | None = field(default=None, repr=False)

    @property
    def digest(self) -> str:
        """Of all that decides a pixel at rest; augmentation is no part of it."""
        return digest.value({**self.state(), "augment": None, "pixels": _PIXELS})

    def __call__(self, sample: Sample, rng: np.random.Generator | None = None) -> dict[str, Any]:
        """Encoded bytes -> {"pixels": (H, W, channels) uint8}."""
        data = sample[self.field]
        least = self._least(data) if self.reduced and rng is None else None
        picture = decode.pixels(data, least)
        quick = self.reduced or rng is not None
        small = self._centre(picture, quick)
        if rng is not None and self.policy is not None:
            small = kinds.applied(small, self.policy, rng)
        elif rng is not None:
            small = self._vary(small, rng)
        if self.channels == 1:
            return {"pixels": np.asarray(small.convert("L"))[:, :, None]}
        return {"pixels": np.asarray(small)}

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Size after the shorter side was resized, as torchvision rounds it."""
        width, height = size
        short = int(np.floor(min(self.side) / self.crop))
        if width <= height:
            return short, int(short * height / width)
        return int(short * width / height), short

    def _corner(self, resized: tuple[int, int]) -> tuple[int, int]:
        """Left and top of the crop in the resized picture."""
        high, wide = self.side
        return round((resized[0] - wide) / 2.0), round((resized[1] - high) / 2.0)

    def _centre(self, picture: Image.Image, quick: bool) -> Image.Image:
        """The whole picture resized, then its centre; only the centre where that comes to the same, or
        nearly so and `quick` is asked for."""
        (high, wide), resized = self.side, self._resized(picture.size)
        inside = wide <= resized[0] and high <= resized[1]
        if resized[0] * resized[1] > _MOST_RESIZED or (
            inside and (quick or self._alike(picture.size))
        ):
            return self._cut(picture, 0 if quick else MARGIN)
        left, top = self._corner(resized)
        whole = picture.resize(resized, _FILTERS[self.interpolation])
        return whole.crop((left, top, left + wide, top + high))

    def _alike(self, size: tuple[int, int]) -> bool:
        """Whether `_cut` gives the same picture. Pillow rounds between its two passes and puts the
        cheaper one first; in upright pictures that may be another one for the centre alone. Without
        averaging, a place that rounds to its other neighbour shows another pixel."""
        averaged = self.interpolation != "nearest"
        return averaged and min(size) >= 2 * min(self._resized(size)) and 4 * size[0] >= 3 * size[1]

    def _cut(self, picture: Image.Image, margin: int) -> Image.Image:
        """The centre in one call that reads its box alone: sooner, and a few pixels in a hundred thousand
        differ by one level, because Pillow keeps boxes in single precision. Up to `margin` lines more
        are resized and cut off again, so that the box's ends come to lie where that rounds least."""
        (high, wide), (width, height) = self.side, picture.size
        resized = self._resized(picture.size)
        left, top = self._corner(resized)
        first, last = _ends(left, wide, resized[0], width, margin)
        upper, lower = _ends(top, high, resized[1], height, margin)
        x, y = width / resized[0], height / resized[1]
        made = picture.resize(
            (last - first, lower - upper),
            _FILTERS[self.interpolation],
            box=(first * x, upper * y, min(last * x, width), min(lower * y, height)),
        )
        return made.crop((left - first, top - upper, left - first + wide, top - upper + high))

    def _least(self, data: bytes) -> tuple[int, int]:
        return self._resized(decode.size(data))

    def _vary(self, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
        """Scaled by a tenth, shifted by a twelfth, turned by 10 degrees, brightness and contrast by a
        fifth, each at most; mirrored if asked for. What comes in from outside has the border's colour.
        A "crop" shows a part of the picture at full size instead, "light" changes brightness and contrast
        by half and makes one picture in five grey."""
        scale, shift = self._window(picture.size, rng)
        angle = np.deg2rad(rng.uniform(-10, 10)) if "rotation" in self.augment else 0.0
        picture = picture.transform(
            picture.size,
            Image.Transform.AFFINE,
            affine(picture.size, scale, angle, shift),
            Image.Resampling.BILINEAR,
            fillcolor=border(picture),
        )
        if "colour" in self.augment:
            picture = _lit(picture, rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2))
        if "light" in self.augment:
            picture = _lit(picture, rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.5))
            picture = picture.convert("L").convert("RGB") if rng.random() < GREY else picture
        if "flip" in self.augment and rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return picture

    def _window(
        self, size: tuple[int, int], rng: np.random.Generator
    ) -> tuple[float, Sequence[float]]:
        """How much larger the picture is drawn, and how far it is moved, in pixels."""
        if "crop" in self.augment:
            scale = float(rng.uniform(LEAST_AREA, 1.0)) ** -0.5
            room = (1.0 - 1.0 / scale) / 2.0
            return scale, rng.uniform(-room, room, 2) * size
        if "scaling" not in self.augment:
            return 1.0, (0.0, 0.0)
        return float(rng.uniform(0.9, 1.1)), rng.uniform(-1 / 12, 1 / 12, 2) * size

    def length(self, arrays: Mapping[str, np.ndarray]) -> int:
        """All pictures have one shape."""
        return 1

    def collate(self, items: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Tensor]:
        """-> {"pixels": (N, channels, H, W) float32, channels last in memory}."""
        stacked = torch.from_numpy(np.stack([item["pixels"] for item in items]))
        count, height, width, channels = stacked.shape
        scale = 1.0 / (torch.tensor(self.std, dtype=torch.float64) * 255.0)
        shift = -torch.tensor(self.mean, dtype=torch.float64) * 255.0 * scale
        # whole lines at a time: broadcasting over three channels alone is four times slower
        line = [part.to(torch.float32).repeat(width) for part in (shift, scale)]
        lines = stacked.view(count * height, width * channels).to(torch.float32)
        torch.addcmul(line[0], lines, line[1], out=lines)
        return {"pixels": lines.view(stacked.shape).permute(0, 3, 1, 2)}

    def state(self) -> dict[str, Any]:
        """All settings as JSON can hold them."""
        plain = dataclasses.asdict(self)
        plain.pop("counts")
        plain.pop("policy")
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}

    def varied(self, policy: Policy) -> PictureTransform:
        """The same with variations by name."""
        return dataclasses.replace(self, policy=policy)

    def profile(self, name: str) -> PictureTransform:
        """ "fast" decodes JPEGs at a reduced scale; "exact" never does."""
        return dataclasses.replace(self, reduced=name == "fast", counts={})


def _ends(begin: int, count: int, resized: int, size: int, margin: int) -> tuple[int, int]:
    """First line of `count` from `begin` on and the one behind the last, both up to `margin` further out,
    where a line's place among `size` loses least in single precision."""

    def lost(line: int) -> float:
        place = line * size / resized
        return abs(float(np.float32(place)) - place)

    before = range(max(0, begin - margin), max(0, begin) + 1)
    end = min(resized, begin + count)
    return min(before, key=lost), min(range(end, min(resized, end + margin) + 1), key=lost)


def _lit(picture: Image.Image, brightness: float, contrast: float) -> Image.Image:
    """All values times `brightness`, then spread about their mean by `contrast`, in one look-up."""
    values = np.minimum(np.arange(256) * brightness, 255.0)
    mean = min(float(np.asarray(picture).mean()) * brightness, 255.0)
    table = np.clip(np.rint(mean + contrast * (values - mean)), 0, 255).astype(int).tolist()
    return picture.point(table * 3)


def make(
    preprocessing: Mapping[str, Any], fields: Sequence[Field], samples: Sequence[Sample]
) -> PictureTransform:
    """The transform that a source's preprocessing asks for; nothing is fitted.

    Reads `input_size` (channels, height, width), `mean`, `std`, `interpolation`, `crop_pct` and
    `augment` (names out of AUGMENTATIONS).
    """
    channels, height, width = (int(v) for v in preprocessing["input_size"])
    interpolation = str(preprocessing.get("interpolation", "bicubic"))
    if interpolation not in _FILTERS:
        raise SourceError(
            f"Interpolation '{interpolation}' is not known; expected one of {', '.join(_FILTERS)}."
        )
    return PictureTransform(
        field=fields[0].name,
        side=(height, width),
        channels=channels,
        mean=tuple(float(v) for v in preprocessing["mean"]),
        std=tuple(float(v) for v in preprocessing["std"]),
        interpolation=interpolation,
        crop=float(preprocessing.get("crop_pct", 1.0)),
        augment=tuple(preprocessing.get("augment", USUAL)),
    )


def restore(state: Mapping[str, Any]) -> PictureTransform:
    """The transform whose `state()` this is."""
    lists = {k: tuple(v) if isinstance(v, list) else v for k, v in state.items()}
    return PictureTransform(**lists)
