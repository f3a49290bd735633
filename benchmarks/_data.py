"""Real sets below HEADSTART_DATA, as files that `headstart run` takes, and their rows for peers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

IMAGENET = "weights/mobilenetv2_100_imagenet.safetensors"


@dataclass(frozen=True)
class RealSet:
    """One set: file, target, inputs, and the source that the benchmark uses.

    Attributes:
        field: the input column that peers read; "" for tables.
    """

    name: str
    file: str
    field: str
    source: str
    options: dict[str, Any]


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
    ]
    return {one.name: one for one in made}


def table(one: RealSet) -> list[dict[str, Any]]:
    """All rows of a set."""
    return pq.read_table(root() / one.file).to_pylist()
