"""Generated photographs and texts for the speed tables: smooth noise, shapes and grain, as JPEG."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_WORDS = """
my card has not come yet how do I change the pin why was this payment declined can you tell me
when a transfer arrives what is the fee abroad please cancel order refund account money top up
exchange rate cash machine wrong amount charged twice lost phone verify identity limit app help
"""


def picture(seed: int, size: tuple[int, int] = (500, 375)) -> np.ndarray:
    """(375, 500, 3) uint8: clouds of three scales, a few shapes, fine grain."""
    draw = np.random.default_rng(seed)
    width, height = size
    canvas = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((4, 90), (12, 50), (40, 30)):
        coarse = draw.uniform(0, 255, (cells, cells, 3)).astype(np.uint8)
        smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        canvas += np.asarray(smooth, np.float32) * (weight / 170)
    image = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(int(draw.integers(3, 9))):
        x, y = draw.integers(0, width), draw.integers(0, height)
        w, h = draw.integers(20, 200, 2)
        colour = tuple(int(c) for c in draw.integers(0, 255, 3))
        (pen.ellipse if draw.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), fill=colour)
    image = image.filter(ImageFilter.GaussianBlur(0.8))
    grain = draw.normal(0, 5.0, (height, width, 1)).astype(np.float32)
    return (np.asarray(image, np.float32) + grain).clip(0, 255).astype(np.uint8)


def _write(job: tuple[int, list[tuple[Path, int]]]) -> None:
    """Files that show one picture, each shifted differently; quality 90, 40 to 60 kB."""
    seed, files = job
    pixels = picture(seed)
    for path, number in files:
        draw = np.random.default_rng(number)
        shift = (int(draw.integers(375)), int(draw.integers(500)))
        Image.fromarray(np.roll(pixels, shift, (0, 1))).save(path, "JPEG", quality=90)


def folder(root: Path, rows: int, each: int = 25) -> list[Path]:
    """Writes what is missing of `rows` pictures under `root`; returns their paths."""
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"{i:06d}.jpg" for i in range(rows)]
    missing = [(p, i) for i, p in enumerate(paths) if not p.exists()]
    jobs = [(i, missing[i : i + each]) for i in range(0, len(missing), each)]
    if jobs:
        with ProcessPoolExecutor() as pool:
            list(pool.map(_write, jobs))
    return paths


def sentences(rows: int) -> list[str]:
    """Short questions of 3 to 30 words, most of them short."""
    draw = np.random.default_rng(0)
    words = _WORDS.split()
    lengths = 3 + draw.gamma(2.0, 4.0, rows).astype(int).clip(0, 27)
    return [" ".join(draw.choice(words, n)) + f" {i}?" for i, n in enumerate(lengths)]
