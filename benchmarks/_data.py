"""Real sets below HEADSTART_DATA, as files that `headstart run` takes, and their rows for peers."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

IMAGENET = "weights/mobilenetv2_100_imagenet.safetensors"


@dataclass(frozen=True)
class RealSet:
    """One set: file, target, inputs, and the source that the benchmark uses.

    Attributes:
        field: the input column that peers read; "" for tables.
        split: column of parts, or COLUMN=VALUE.
    """

    name: str
    file: str
    field: str
    source: str
    options: dict[str, Any]
    split: str = "split"


def root() -> Path:
    """The folder of real data. Exits with a sentence where there is none."""
    place = os.environ.get("HEADSTART_DATA", "")
    if not place or not Path(place).is_dir():
        raise SystemExit("Set HEADSTART_DATA to the folder of real data; nothing was measured.")
    return Path(place)


def picture_source(side: int = 160) -> str:
    """The ImageNet MobileNetV2 there, at `side` pixels."""
    return f"file:{root() / IMAGENET}?input_size={side}&crop_pct=1.0"


def sets() -> dict[str, RealSet]:
    """The sets by name."""
    seen, words, rows = picture_source(), "builtin:minilm", "builtin:random-features"
    made = [
        RealSet("ants_bees", "ants_bees/ants_bees.parquet", "image", seen, {}),
        RealSet("cifar10", "cifar10/cifar10_subset.parquet", "image", seen, {}),
        RealSet("ag_news_small", "ag_news_small/ag_news_small.parquet", "text", words, {}),
        RealSet("banking77", "banking77/banking77.parquet", "text", words, {}),
        RealSet(
            "sentiment_sentences",
            "sentiment_sentences/sentiment_sentences.parquet",
            "text",
            words,
            {},
        ),
        RealSet("heart_disease", "heart_disease/heart_disease.parquet", "", rows, {}),
        RealSet("adult", "adult/adult.parquet", "", rows, {}),
        RealSet("coil20", "coil20/coil20_32x32.npz", "image", "builtin:formula", {}),
        RealSet("mnist", "mnist/mnist_t10k.npz", "image", "builtin:formula", {}),
    ]
    heart = next(one for one in made if one.name == "heart_disease")
    made += [
        replace(heart, name=f"heart_{site}", split=f"site={site}")
        for site in ("cleveland", "hungarian", "switzerland", "va")
    ]
    return {one.name: one for one in made}


def file(one: RealSet, folder: Path) -> Path:
    """The set as a table: its own file, or its arrays as PNG pictures in a Parquet file in `folder`."""
    path = root() / one.file
    if path.suffix != ".npz":
        return path
    held = np.load(path)
    if "coil1_x" in held:  # two halves of the poses: learn from one, test on the other
        pictures = np.concatenate([held["coil1_x"], held["coil2_x"]])
        labels = np.concatenate([held["coil1_y"], held["coil2_y"]])
        parts = ["train"] * len(held["coil1_y"]) + ["test"] * len(held["coil2_y"])
    else:
        pictures, labels, parts = held["x"], held["y"], held["split"].tolist()
    return pictured(folder / f"{one.name}.parquet", pictures, labels, parts)


def pictured(place: Path, pictures: np.ndarray, labels: np.ndarray, parts: list[str]) -> Path:
    """Arrays (N, H, W[, 3]) uint8, their labels and parts as a Parquet file of PNG pictures."""
    columns = {"image": [_png(p) for p in pictures], "label": labels.tolist(), "split": parts}
    pq.write_table(pa.table(columns), place)
    return place


def _png(pixels: np.ndarray) -> bytes:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def table(one: RealSet) -> list[dict[str, Any]]:
    """All rows of a set."""
    return pq.read_table(root() / one.file).to_pylist()


def archive(name: str, part: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Series (T, channels) of one of the UCR and UEA sets, and their classes; part "train" or "test"."""
    with np.load(root() / "ucr" / f"{name}.npz", allow_pickle=False) as held:
        values, labels = held[f"x_{part}"], held[f"y_{part}"]
        ends = held[f"len_{part}"] if f"len_{part}" in held else [values.shape[2]] * len(values)
    return [x[:, :n].T for x, n in zip(values, ends, strict=True)], labels
