"""A few drawn pictures and a small random network, for suites, examples and demos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image, ImageDraw
from torch import nn

from headstart.core import digest
from headstart.core.source import Loaded, Source

CLASSES = ("ring", "square", "stripes")
_NETWORK = {"layers": [1] * 4, "channels": [8, 16, 24, 32], "stem_width": 8, "num_classes": 5}


def draw(kind: str, rng: np.random.Generator, side: int = 48) -> Image.Image:
    """One picture of a ring, a square or stripes on a noisy ground, RGB."""
    ground = rng.integers(90, 130) + rng.normal(0, 12, (side, side, 3))
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    ink = tuple(int(v) for v in rng.integers(160, 256, 3))
    x, y, r = rng.integers(14, side - 14), rng.integers(14, side - 14), rng.integers(7, 12)
    box = [int(x - r), int(y - r), int(x + r), int(y + r)]
    if kind == "ring":
        pen.ellipse(box, outline=ink, width=3)
    elif kind == "square":
        pen.rectangle(box, fill=ink)
    else:
        for line in range(box[0], box[2], 4):
            pen.line([line, box[1], line, box[3]], fill=ink, width=2)
    return picture


def write(folder: Path, outcome: str, rows: int, seed: int) -> Path:
    """Class folders of PNG files ("classify"), or a CSV of paths and a number ("regress")."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["image,label"]
    for row in range(rows):
        kind = CLASSES[row % len(CLASSES)]
        place = folder / (kind if outcome == "classify" else "files")
        place.mkdir(exist_ok=True)
        side = int(rng.integers(40, 60))
        draw(kind, rng, side).save(place / f"{row:04d}.png")
        lines.append(f"files/{row:04d}.png,{side + rng.normal(0, 0.5):.3f}")
    if outcome == "classify":
        return folder
    (folder / "pictures.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder / "pictures.csv"


def network(seed: int) -> nn.Module:
    """A ResNet of two small groups with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, **_NETWORK).eval()


def loaded(seed: int) -> Loaded:
    """The small network as a provider would hand it over; inputs of 32 x 32."""
    module = network(seed)
    preprocessing = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.25] * 3}
    source = Source(
        uri="tiny:image",
        name="tiny",
        family="resnet",
        revision="1",
        sha256=digest.tensors(module.state_dict().items()),
        licence="Apache-2.0",
        trained_on="nothing: random weights",
        data_licence="CC0-1.0",
        parents=(),
        paper="unknown",
        parameters=sum(p.numel() for p in module.parameters()),
        preprocessing=preprocessing,
    )
    return Loaded(source, module, {"library": "timm", "architecture": "resnet"}, network)
