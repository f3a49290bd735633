"""Finished trainings, kept by all that they depend on, so that a repeated run trains nothing twice."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from headstart.core.network import Network
from headstart.engine.loop import Trained

MOST_BYTES = 5 * 10**9
_TOLD = "told"


def load(
    folder: Path,
    key: str,
    network: Network,
    rebuild: Callable[[Network, Mapping[str, Any]], None] | None = None,
) -> Trained | None:
    """Puts the kept tensors into `network` and returns what was told of the training; or None.

    Args:
        rebuild: puts onto `network` the modules that the training left on it, see
            `core.strategy.Strategy.rebuild`.
    """
    path = folder / f"{key}.safetensors"
    try:
        with safe_open(path, "pt") as held:
            told = json.loads(held.metadata()[_TOLD])
            tensors = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError, OSError, KeyError):
        return None
    if rebuild is not None:
        rebuild(network, tensors)
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    if tensors.keys() != every.keys():
        return None
    with torch.no_grad():
        for name, tensor in tensors.items():
            every[name].copy_(tensor)
    os.utime(path)
    network.requires_grad_(False).eval()
    return Trained(**told)


def save(folder: Path, key: str, network: Network, done: Trained) -> None:
    """Keeps a finished training; a disk that is full only means that it will be trained again."""
    every = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in every.items()}
    beside = folder / f"{key}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, beside, {_TOLD: json.dumps(dataclasses.asdict(done))})
        os.replace(beside, folder / f"{key}.safetensors")
        _shrink(folder)
    except (OSError, SafetensorError):
        beside.unlink(missing_ok=True)


def _shrink(folder: Path) -> None:
    """Deletes the least recently used files above the cap."""
    files = sorted(folder.glob("*.safetensors"), key=lambda p: p.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)
