"""Kills a pre-training in a process of its own, and repeats the command."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from headstart.engine import loop
from tests import forks

LONGEST = 120.0  # seconds until there is a checkpoint


def pretrain(asked: Sequence[str]) -> int:
    """`headstart pretrain`, with a checkpoint after every epoch."""
    loop.SAVE_SECONDS = 0.0
    return forks.command(["pretrain", *asked])


def killed_and_repeated(data: Path, asked: Sequence[str], folder: Path) -> dict[str, Any]:
    """The document of a pre-training that was killed once, in an epoch after the first, and repeated.

    Args:
        asked: options of `headstart pretrain`, without an output.
        folder: gets the cache and the source, as "cache" and "cut".
    """
    place = {**os.environ, "HEADSTART_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    whole = [str(data), *asked, "--quiet", "--output", str(folder / "cut")]
    running = forks.start(pretrain, whole, Path.cwd(), place, folder / "log")
    held = folder / "cache" / "pretraining"
    deadline = time.monotonic() + LONGEST
    while not any(_epochs(p) > 0 for p in held.glob("*.pt")) and time.monotonic() < deadline:
        assert running.is_alive(), "it ended before it could be killed"
        time.sleep(0.02)
    running.kill()
    running.join()
    assert not (folder / "cut" / "model.json").exists()
    again = forks.run(pretrain, whole, Path.cwd(), place)
    assert again.code == 0, again.output
    told: dict[str, Any] = json.loads((folder / "cut" / "model.json").read_text("utf-8"))
    return told


def _epochs(path: Path) -> int:
    """Finished epochs in a checkpoint."""
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError):
        return 0
    return len(held["state"]["done"]["history"])
