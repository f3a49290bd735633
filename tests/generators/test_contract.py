"""What every generator keeps: same seed, same bytes; ranges; every class; no global state."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from headstart.core import plugins
from headstart.core.generator import ABSENT
from headstart.generators import listed
from headstart.generators.scenes import Counts

NAMES = sorted(listed())
COUNT = 24
SMALL = {
    "scenes": {"size": 32, "counts": Counts(6, 4, 4, 4)}
}  # all the classes take seconds to make
ENOUGH = {
    "scenes": 0,
    "tones": 600,
    "kernels": 1500,
    "motifs": 1500,
    "causes": 200,
    "curves": 4000,
    "words": 0,
}


def _new(name: str) -> Any:
    return plugins.load("generator", name).GENERATOR(**SMALL.get(name, {}))


@cache
def _made(name: str) -> Any:
    return _new(name)


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _draw(
    name: str, seed: int, count: int = COUNT, *, maker: Any = None, **asked: float
) -> dict[str, Tensor]:
    samples, labels = (maker or _made(name)).draw(count, _rng(seed), **asked)
    parts = samples if isinstance(samples, dict) else {"samples": samples}
    return {**parts, "labels": labels}


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(first[n].numpy().tobytes() == second[n].numpy().tobytes() for n in first)


def test_the_list_names_generators_and_their_modalities() -> None:
    assert listed() == {
        "causes": "table",
        "curves": "series",
        "kernels": "series",
        "motifs": "graph",
        "scenes": "image",
        "tones": "audio",
        "words": "audio",
    }
    assert set(listed()) <= set(plugins.names("generator"))
    assert set(listed().values()) <= set(plugins.names("modality"))


def test_the_list_is_made_without_importing_what_it_lists() -> None:
    code = (
        "import sys, headstart.generators as g; g.listed(); "
        "bad = [m for m in sys.modules if m == 'torch' or m.startswith('headstart.generators.')]; "
        "sys.exit(str(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_draws_the_same_bytes(name: str) -> None:
    first = _draw(name, 5)
    _draw(name, 6)  # what was drawn in between leaves no trace
    assert _same(first, _draw(name, 5))
    assert _same(first, _draw(name, 5, maker=_new(name)))


@pytest.mark.parametrize("name", NAMES)
def test_other_seeds_draw_others(name: str) -> None:
    first, second = _draw(name, 5), _draw(name, 6)
    alike = [n for n in first if first[n].shape == second[n].shape and _same({n: first[n]}, second)]
    assert not alike or set(alike) <= {"edge_mask"}


@pytest.mark.parametrize("name", NAMES)
def test_samples_of_a_batch_differ(name: str) -> None:
    for part, values in _draw(name, 1).items():
        if values.dim() > 1 and part not in ("labels", "mask", "edge_mask", "counts"):
            assert len({row.numpy().tobytes() for row in values}) > 1


@pytest.mark.parametrize("name", NAMES)
def test_global_state_is_left_alone(name: str) -> None:
    def state() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()

    before = state()
    _draw(name, 0)
    assert state() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hardness", [0.0, 1.0])
def test_shapes_types_and_ranges(name: str, hardness: float) -> None:
    drawn = _draw(name, 2, hardness=hardness)
    labels, groups = drawn["labels"], _made(name).groups
    assert labels.dtype == torch.int64
    columns = [labels.flatten()] if len(groups) == 1 else list(labels.T)
    assert len(columns) == len(groups)
    for column, classes in zip(columns, groups, strict=True):
        known = column[column != ABSENT]
        assert not known.numel() or (known.min() >= 0 and known.max() < classes)
    for part, values in drawn.items():
        assert len(values) == COUNT
        assert values.dtype in (torch.uint8, torch.float32, torch.int64, torch.bool)
        if part != "cells":
            assert torch.isfinite(values.float()).all()


@pytest.mark.parametrize("name", [n for n in NAMES if n != "scenes"])
def test_all_is_drawn_on_the_device_of_the_random_numbers(name: str) -> None:
    """A tensor made without saying where would be on the empty device here, and mix with none."""
    maker, rng = _new(name), _rng(0)
    with torch.device("meta"):
        samples, labels = maker.draw(40, rng)
    parts = samples if isinstance(samples, dict) else {"samples": samples}
    assert all(values.device.type == "cpu" for values in [*parts.values(), labels])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2])
def test_few_samples_can_be_asked_for(name: str, count: int) -> None:
    for seed in range(8):
        assert all(len(values) == count for values in _draw(name, seed, count).values())


@pytest.mark.parametrize("name", [n for n in NAMES if ENOUGH[n]])
def test_every_class_of_every_label_occurs(name: str) -> None:
    labels, groups = _draw(name, 3, ENOUGH[name])["labels"], _made(name).groups
    columns = [labels.flatten()] if len(groups) == 1 else list(labels.T)
    for column, classes in zip(columns, groups, strict=True):
        assert set(column.tolist()) - {ABSENT} == set(range(classes))
