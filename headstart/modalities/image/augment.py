"""Variations of pictures by name, after RandAugment (Cubuk et al. 2020, arXiv:1909.13719) and random erasing
(Zhong et al. 2020, arXiv:1708.04896).

Each takes a picture (RGB), a magnitude and a generator, and gives a picture of the same size. What it changes
is drawn evenly up to what it says at magnitude 1, times the magnitude. What comes in from outside has the
border's colour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from headstart.core.augment import Policy, Variation

TURN = 10.0  # degrees
SIZE, SHIFT, SLANT = 0.1, 1 / 12, 0.15
LIGHT = 0.2  # of brightness, contrast and saturation
LEAST_AREA = 0.35  # of the picture that a crop shows
GREY = 0.2
SOFT = 1.0  # pixels at 64 a side
ERASED = 0.1  # of the area
NOISE = 10.0  # levels of 255

Change = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def affine(
    size: tuple[int, int], scale: float, angle: float, shift: Sequence[float]
) -> tuple[float, float, float, float, float, float]:
    """Output pixel -> input pixel, about the centre, as Pillow's AFFINE wants it."""
    x, y = size[0] / 2, size[1] / 2
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    left, top = x - shift[0], y - shift[1]
    return (
        float(cos),
        float(sin),
        float(left - cos * x - sin * y),
        float(-sin),
        float(cos),
        float(top + sin * x - cos * y),
    )


def border(picture: Image.Image) -> tuple[int, int, int]:
    """Median colour of the outermost pixels."""
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    edge.sort(axis=0)
    red, green, blue = (int(v) for v in edge[len(edge) // 2])
    return red, green, blue


def _moved(picture: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=border(picture),
    )


def _rotation(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    most = min(TURN * size, 180.0)
    angle = np.deg2rad(rng.uniform(-most, most))
    return _moved(picture, affine(picture.size, 1.0, angle, (0.0, 0.0)))


def _scaling(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    most = np.log1p(SIZE * size)  # twice as large is as far as half as large
    scale = float(np.exp(rng.uniform(-most, most)))
    return _moved(picture, affine(picture.size, scale, 0.0, (0.0, 0.0)))


def _shift(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    most = min(SHIFT * size, 0.5)
    return _moved(
        picture, affine(picture.size, 1.0, 0.0, rng.uniform(-most, most, 2) * picture.size)
    )


def _shear(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    x, y = rng.uniform(-SLANT * size, SLANT * size, 2)
    wide, high = picture.size
    return _moved(picture, (1.0, x, -x * high / 2, y, 1.0, -y * wide / 2))


def _crop(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    least = max(0.05, 1.0 - (1.0 - LEAST_AREA) * size)
    scale = float(rng.uniform(least, 1.0)) ** -0.5
    room = (1.0 - 1.0 / scale) / 2.0
    shift = rng.uniform(-room, room, 2) * picture.size * scale
    return _moved(picture, affine(picture.size, scale, 0.0, shift))


def _factor(size: float, rng: np.random.Generator) -> float:
    return max(0.0, 1.0 + float(rng.uniform(-LIGHT * size, LIGHT * size)))


def _colour_jitter(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = change(picture).enhance(_factor(size, rng))
    return picture


def _brightness(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(_factor(size, rng))


def _contrast(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(_factor(size, rng))


def _saturation(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Color(picture).enhance(_factor(size, rng))


def _sharpness(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Sharpness(picture).enhance(_factor(2 * size, rng))


def _blur(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    pixels = SOFT * size * min(picture.size) / 64
    return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.0, pixels))))


def _noise(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture)
    spread = rng.uniform(0.0, NOISE * size)
    noisy = pixels + spread * rng.standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _erase(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    wide, high = picture.size
    area = rng.uniform(0.0, min(ERASED * size, 0.9))
    shape = float(np.exp(rng.uniform(-0.5, 0.5)))
    x, y = (
        min(wide, round(wide * (area * shape) ** 0.5)),
        min(high, round(high * (area / shape) ** 0.5)),
    )
    left, top = int(rng.integers(wide - x + 1)), int(rng.integers(high - y + 1))
    pixels = np.array(picture)
    pixels[top : top + y, left : left + x] = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    return Image.fromarray(pixels)


def _autocontrast(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return Image.blend(picture, ImageOps.autocontrast(picture), min(1.0, rng.uniform(0.0, size)))


def _equalise(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return Image.blend(picture, ImageOps.equalize(picture), min(1.0, rng.uniform(0.0, size / 2)))


def _posterise(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageOps.posterize(picture, 8 - min(7, round(rng.uniform(0.0, 4.0 * size))))


def _solarise(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageOps.solarize(picture, 256 - min(256, round(rng.uniform(0.0, 128.0 * size))))


def _grey(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return picture.convert("L").convert("RGB") if rng.random() < GREY * size else picture


def _flip(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(picture) if rng.random() < min(1.0, 0.5 * size) else picture


def _vertical_flip(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageOps.flip(picture) if rng.random() < min(1.0, 0.5 * size) else picture


def _invert(picture: Image.Image, size: float, rng: np.random.Generator) -> Image.Image:
    return ImageOps.invert(picture) if rng.random() < min(1.0, 0.5 * size) else picture


KINDS: dict[str, Change] = {
    "rotation": _rotation,
    "scaling": _scaling,
    "shift": _shift,
    "shear": _shear,
    "crop": _crop,
    "colour_jitter": _colour_jitter,
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "sharpness": _sharpness,
    "autocontrast": _autocontrast,
    "equalise": _equalise,
    "posterise": _posterise,
    "solarise": _solarise,
    "blur": _blur,
    "noise": _noise,
    "erase": _erase,
    "grey": _grey,
    "flip": _flip,
    "vertical_flip": _vertical_flip,
    "invert": _invert,
}
VARIATIONS = {
    "rotation": Variation("turned by at most 10 degrees"),
    "scaling": Variation("10 % larger or smaller, at most"),
    "shift": Variation("moved by at most a twelfth of each side"),
    "shear": Variation("slanted by at most 0.15 each way"),
    "crop": Variation("a part of at least 35 % of the area, at full size", automatic=False),
    "colour_jitter": Variation("brightness, contrast and saturation by at most a fifth each"),
    "brightness": Variation("brightness by at most a fifth"),
    "contrast": Variation("contrast by at most a fifth"),
    "saturation": Variation("saturation by at most a fifth"),
    "sharpness": Variation("sharper or softer by at most two fifths"),
    "autocontrast": Variation("blended with itself at full contrast"),
    "equalise": Variation("blended with itself at an even histogram, by half at most"),
    "posterise": Variation("up to 4 of 8 bits a channel left out"),
    "solarise": Variation("up to the brightest half of the levels inverted", automatic=False),
    "blur": Variation("a Gaussian of up to a 64th of the shorter side"),
    "noise": Variation("Gaussian noise of up to 10 of 255 levels"),
    "erase": Variation("a rectangle of up to 10 % of the area in the mean colour"),
    "grey": Variation("one picture in five without colour", automatic=False),
    "flip": Variation("every second one mirrored", automatic=False),
    "vertical_flip": Variation("every second one upside down", automatic=False),
    "invert": Variation("every second one as its negative", automatic=False),
}


def applied(picture: Image.Image, policy: Policy, rng: np.random.Generator) -> Image.Image:
    """The picture with what the policy draws."""
    for name, size in policy.draw(rng):
        picture = KINDS[name](picture, size, rng)
    return picture
