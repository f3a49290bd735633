"""Samples with captions in words: pictures of a coloured shape on a ground, and waves of a few kinds."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 215, 50),
    "white": (240, 240, 240),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "bar")
SIDE = 32
PACES = {"slow": 0.2, "steady": 0.5, "quick": 0.9, "hasty": 1.3}
TRENDS = {"falls": -0.1, "stays level": 0.0, "climbs": 0.1}


def _picture(shape: str, ink: str, ground: str, rng: np.random.Generator) -> bytes:
    level = np.array(COLOURS[ground]) + rng.normal(0, 12, (SIDE, SIDE, 3))
    picture = Image.fromarray(level.clip(0, 255).astype(np.uint8))
    pen, r = ImageDraw.Draw(picture), int(rng.integers(6, 10))
    x, y = (int(v) for v in rng.integers(r + 1, SIDE - r - 1, 2))
    box = [x - r, y - r, x + r, y + r]
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[ink])
    elif shape == "square":
        pen.rectangle(box, fill=COLOURS[ink])
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=COLOURS[ink])
    else:
        pen.rectangle([x - r, y - 2, x + r, y + 2], fill=COLOURS[ink])
    held = io.BytesIO()
    picture.save(held, "PNG")
    return held.getvalue()


def pictures(rows: int, seed: int = 0) -> dict[str, list[Any]]:
    """Columns image (PNG), caption ("a red circle on a blue ground") and label (the shape)."""
    rng = np.random.default_rng(seed)
    made: dict[str, list[Any]] = {"image": [], "caption": [], "label": []}
    for _ in range(rows):
        ink, ground = (str(v) for v in rng.choice(list(COLOURS), 2, replace=False))
        shape = str(rng.choice(SHAPES))
        made["image"].append(_picture(shape, ink, ground, rng))
        made["caption"].append(f"a {ink} {shape} on a {ground} ground")
        made["label"].append(shape)
    return made


def waves(rows: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of signal, caption ("a slow wave that climbs, number 3") and kind (the pace)."""
    rng, time = np.random.default_rng(seed), np.arange(32)
    made = []
    for row in range(rows):
        pace, trend = str(rng.choice(list(PACES))), str(rng.choice(list(TRENDS)))
        wave = np.sin(time * PACES[pace] + rng.uniform(0, 6)) + TRENDS[trend] * time
        caption = f"a {pace} wave that {trend}, number {row % 20}"
        made.append({"signal": wave.round(3).tolist(), "caption": caption, "kind": pace})
    return made


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSONL."""
    path.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return path
