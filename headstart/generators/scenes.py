"""Labelled pictures: a shape over a ground, in random colours, with light, clutter and blur.

Every picture carries up to four labels, one a group of classes: which shape, which texture of the
ground, the hue of the shape and the hue of the ground. Naming several things in one picture follows
the multi-instance pre-training of arXiv:2110.03091.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from headstart.core.generator import ABSENT
from headstart.generators import ink
from headstart.generators.contours import Contours
from headstart.generators.fractals import Fractals
from headstart.generators.strokes import Strokes
from headstart.generators.textures import Textures

MODALITY = "image"
HUES = 15  # 12 hues, then black, grey and white


@dataclass(frozen=True)
class Counts:
    """How many classes each kind has, and the share of pictures that show a glyph or a contour.

    The rest of the pictures show fractals, or in one picture of `bare` nothing but the ground.
    """

    strokes: int = 200
    contours: int = 60
    fractals: int = 60
    textures: int = 48
    stroke_share: float = 0.65
    contour_share: float = 0.17
    bare: float = 0.06

    @property
    def groups(self) -> tuple[int, int, int, int]:
        """Classes of each label: shape, texture, hue of the shape, hue of the ground."""
        return self.strokes + self.contours + self.fractals, self.textures, HUES, HUES


class Scenes:
    """Draws batches of labelled pictures of `size` pixels; classes are fixed by `seed`."""

    bounds = {"size": (8, 1024)}

    def __init__(self, seed: int = 0, size: int = 48, counts: Counts | None = None):
        self.size = size
        self.counts = counts = counts or Counts()
        self.strokes = Strokes(counts.strokes, seed)
        self.contours = Contours(counts.contours, seed + 1)
        self.fractals = Fractals(counts.fractals, seed + 2)
        self.textures = Textures(counts.textures, seed + 3)
        self.groups = counts.groups

    def draw(
        self, count: int, rng: torch.Generator, hardness: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Pictures (count, 3, size, size), uint8, and labels (count, 4), int64.

        `hardness` from 0 to 1 scales how often there is texture, clutter, cover, blur and noise.

        The columns are shape, texture, hue of the shape and hue of the ground, each counted from
        zero within its group, or `ABSENT`.
        """
        shape, mask = self._shapes(count, rng)
        texture, planes = self._planes(count, rng, hardness)
        ground, ground_hue = _ground(planes, rng)
        figure, figure_hue = _figure(planes.roll(1, 0), ground, rng)
        ground = _clutter(ground, mask, rng, hardness)
        alpha = mask[:, None] * ink.uniform(rng, count, 1, 1, 1, low=0.8, high=1.0)
        pictures = ground * (1 - alpha) + figure * alpha
        bare = shape == ABSENT
        pictures[bare] = ground[bare]
        figure_hue = figure_hue.masked_fill(bare, ABSENT)
        pictures, colourless = _finish(pictures, rng, hardness)
        hues = torch.stack([figure_hue, ground_hue], 1).masked_fill(colourless[:, None], ABSENT)
        labels = torch.cat([torch.stack([shape, texture], 1), hues], 1)
        return (pictures.clamp(0, 1) * 255).round().to(torch.uint8), labels

    def _shapes(self, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Labels (count,) and masks (count, size, size), the kinds in random order."""
        counts = self.counts
        first = round(count * counts.stroke_share)
        second = first + round(count * counts.contour_share)
        masks, labels, offset = [], [], 0
        kinds = [
            (self.strokes, first),
            (self.contours, second - first),
            (self.fractals, count - second),
        ]
        for kind, number in kinds:
            label = torch.randint(0, kind.classes, (number,), generator=rng)
            masks.append(kind.draw(label, self.size, rng))
            labels.append(label + offset)
            offset += kind.classes
        order = torch.randperm(count, generator=rng)
        label = torch.cat(labels)[order].masked_fill(ink.chance(rng, count, counts.bare), ABSENT)
        return label, torch.cat(masks)[order]

    def _planes(self, count: int, rng: torch.Generator, hardness: float) -> tuple[Tensor, Tensor]:
        """Texture labels (count,) and planes (count, 2, size, size), zero where the ground is flat."""
        label = torch.randint(0, self.counts.textures, (count,), generator=rng)
        planes = self.textures.draw(label, self.size, rng)
        flat = ink.chance(rng, count, 1 - 0.5 * hardness)
        slope = _ramp(count, self.size, rng) * ink.chance(rng, count, 0.4)[:, None, None]
        planes = torch.where(
            flat[:, None, None, None], slope[:, None].expand(-1, 2, -1, -1), planes
        )
        return label.masked_fill(flat, ABSENT), planes


def _ramp(count: int, size: int, rng: torch.Generator) -> Tensor:
    """Even slopes of light in random directions, (count, size, size), between about -1 and 1."""
    axis = ink.pixel_axis(size)
    tilt = torch.randn(count, 2, 1, 1, generator=rng) * 0.6
    return tilt[:, 0] * axis + tilt[:, 1] * axis[:, None]


def _colours(count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random colours (count, 3) in [0, 1] and their names (count,) among `HUES`."""
    hue = ink.uniform(rng, count)
    saturation = ink.uniform(rng, count).sqrt()
    value = ink.uniform(rng, count).sqrt()
    wheel = (hue[:, None] + torch.tensor([0.0, 2 / 3, 1 / 3])) % 1.0
    pure = ((wheel * 6 - 3).abs() - 1).clamp(0, 1)
    colour = value[:, None] * (1 - saturation[:, None] * (1 - pure))
    name = (hue * 12 + 0.5).long() % 12
    dull = saturation * value < 0.25
    shade = 12 + (value > 0.35).long() + (value > 0.75).long()
    return colour, torch.where(dull, shade, name)


def _ground(planes: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Colours planes (N, 2, H, W) as grounds (N, 3, H, W); the name of the main colour (N,)."""
    count = len(planes)
    colour, name = _colours(count, rng)
    strength = ink.uniform(rng, count, 1, 1, 1, low=0.03, high=0.18)
    mix = torch.randn(count, 3, 2, generator=rng) * 0.5
    mix[..., 0] += 1.0  # mostly light and dark, some colour
    varied = torch.einsum("ncp,nphw->nchw", mix, planes) * strength
    return (colour[:, :, None, None] + varied).clamp(0, 1), name


def _figure(planes: Tensor, ground: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Colours of the shapes (N, 3, H, W), far enough from their grounds, and their names (N,)."""
    count = len(planes)
    level = ground.mean((2, 3))
    colour, name = _colours(count, rng)
    gap = (colour - level).abs().amax(1)
    for _ in range(4):  # draw again where shape and ground are alike
        again, other = _colours(count, rng)
        alike = gap < 0.4
        colour = torch.where(alike[:, None], again, colour)
        name = torch.where(alike, other, name)
        gap = (colour - level).abs().amax(1)
    rough = ink.chance(rng, count, 0.3)[:, None, None, None]
    strength = ink.uniform(rng, count, 1, 1, 1, low=0.02, high=0.15) * rough
    return (colour[:, :, None, None] + planes[:, :1] * strength).clamp(0, 1), name


def _clutter(ground: Tensor, mask: Tensor, rng: torch.Generator, hardness: float) -> Tensor:
    """Lays another picture's shape, moved towards an edge, behind a quarter of the shapes."""
    count, size = len(ground), ground.shape[-1]
    other = mask.roll(1, 0)
    step = int(torch.randint(size // 4, size // 2, (1,), generator=rng))
    way = 1 if torch.rand(1, generator=rng) < 0.5 else -1
    moved = torch.zeros_like(other)
    if way > 0:
        moved[..., step:] = other[..., :-step]
    else:
        moved[..., :-step] = other[..., step:]
    colour, _ = _colours(count, rng)
    shown = ink.chance(rng, count, 0.2 * hardness)[:, None, None, None]
    alpha = moved[:, None] * shown * 0.9
    return ground * (1 - alpha) + colour[:, :, None, None] * alpha


def _finish(pictures: Tensor, rng: torch.Generator, hardness: float) -> tuple[Tensor, Tensor]:
    """Light, hidden patches, grey, coarse pixels, blur and noise; also which became grey (N,)."""
    count, size = len(pictures), pictures.shape[-1]
    lit = ink.chance(rng, count, 0.3)[:, None, None] * 0.25
    pictures = pictures * (1 + lit * _ramp(count, size, rng))[:, None]
    pictures = _hide(pictures, rng, hardness)
    grey = ink.chance(rng, count, 0.3)
    level = pictures.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    pictures = torch.where(grey[:, None, None, None], _stretch(level, rng), pictures)
    pictures = _coarsen(pictures, rng, count // 3)
    few = round(count * hardness / 5)  # the order is random, so the last ones are random ones
    if few:
        soft = ink.blur(pictures[-few:], float(ink.uniform(rng, 1, low=0.5, high=1.6)))
        pictures = torch.cat([pictures[:-few], soft])
    noise = torch.randn(pictures.shape, generator=rng)
    noisy = ink.chance(rng, count, 0.3 * hardness)[:, None, None, None]
    return pictures + noise * noisy * ink.uniform(rng, count, 1, 1, 1, high=0.08), grey


def _stretch(level: Tensor, rng: torch.Generator) -> Tensor:
    """Half of the grey pictures use the whole range from black to white, like scans do."""
    low = level.amin((1, 2, 3), keepdim=True)
    high = level.amax((1, 2, 3), keepdim=True)
    full = (level - low) / (high - low).clamp(min=0.1)
    return torch.where(ink.chance(rng, len(level), 0.6)[:, None, None, None], full, level)


def _hide(pictures: Tensor, rng: torch.Generator, hardness: float) -> Tensor:
    """Covers a box of up to two fifths of a side in 15 % of the pictures with one colour."""
    count, size = len(pictures), pictures.shape[-1]
    axis = ink.pixel_axis(size)
    centre = ink.uniform(rng, count, 2, 1, low=-1, high=1)
    half = ink.uniform(rng, count, 2, 1, low=0.1, high=0.4)
    inside = (axis - centre).abs() < half  # (N, 2, size)
    box = inside[:, 0, None, :] & inside[:, 1, :, None]
    box = box & ink.chance(rng, count, 0.15 * hardness)[:, None, None]
    colour, _ = _colours(count, rng)
    return torch.where(box[:, None], colour[:, :, None, None], pictures)


def _coarsen(pictures: Tensor, rng: torch.Generator, few: int) -> Tensor:
    """Stores the first `few` pictures with 8 to 24 pixels a side, then enlarges them smoothly."""
    size = pictures.shape[-1]
    out = pictures.clone()
    for start in range(0, few, 16):
        part = slice(start, min(start + 16, few))
        side = int(torch.tensor([8, 8, 10, 12, 16, 20, 24])[torch.randint(7, (1,), generator=rng)])
        small = torch.nn.functional.interpolate(pictures[part], (side, side), mode="area")
        out[part] = torch.nn.functional.interpolate(small, (size, size), mode="bilinear")
    return out


GENERATOR = Scenes
