"""Checkpoints of a training: written beside, synced, renamed; read with `weights_only`."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from headstart.core import faults
from headstart.errors import StorageError

ABANDONED = 3600.0  # seconds after which a half-written file is nobody's
FORGOTTEN = 30 * 86400.0  # seconds after which nobody goes on from a whole one


class Checkpoint:
    """One training's checkpoint in its own folder.

    Args:
        folder: made when first written to.
        key: digest of all that the training depends on; a checkpoint of another key is ignored.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.path = folder / f"{key[:24]}.pt"
        self.key = key

    def load(self) -> dict[str, Any] | None:
        """The last whole checkpoint, or None."""
        try:
            held = torch.load(self.path, map_location="cpu", weights_only=True)
        except (FileNotFoundError, EOFError, RuntimeError, pickle.UnpicklingError):
            return None
        return held["state"] if held.get("key") == self.key else None

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the checkpoint in one step. Raises StorageError on a full disk."""
        beside = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as handle:
                torch.save({"key": self.key, "state": state}, handle)
                handle.flush()
                os.fsync(handle.fileno())
            faults.point("checkpoint.before_rename")
            os.replace(beside, self.path)
            faults.point("checkpoint.after_rename")
        except (OSError, RuntimeError) as error:
            beside.unlink(missing_ok=True)
            raise StorageError(
                f"The checkpoint {self.path} could not be written ({error}). The last one is whole; "
                "free some space or choose another output folder, and repeat the command."
            ) from error

    def drop(self) -> None:
        """Removes it, as the training is done, and what others that never ended have left long ago."""
        self.path.unlink(missing_ok=True)
        for kind, age in (("*.tmp", ABANDONED), ("*.pt", FORGOTTEN)):
            for left in self.path.parent.glob(kind):
                with contextlib.suppress(OSError):  # another process sweeps too, or it is another's
                    if time.time() - left.stat().st_mtime > age:
                        left.unlink()
