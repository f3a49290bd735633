"""Kept states after the last stage to the features of positions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from headstart.core.network import Backbone
from headstart.core.ragged import Ragged
from headstart.engine.extract import Extraction
from headstart.errors import StorageError

_ROWS = 64


def featured(made: Extraction, backbone: Backbone) -> Extraction:
    """An extraction of states after the last stage, with the features of what carries labels instead.

    Raises:
        StorageError: the states were too large to keep.
    """
    if made.states is None:
        raise StorageError(
            "The states of all positions are too large to keep, and labels of positions are learned from "
            "them. Enlarge the store with --cap-gb, free some disk, or learn from fewer rows."
        )
    parts, lengths = [np.empty((0, backbone.width), np.float32)], [np.empty(0, np.int64)]
    with torch.inference_mode():
        for begin in range(0, len(made.rows), _ROWS):
            places = np.arange(begin, min(begin + _ROWS, len(made.rows)))
            features, mask = backbone.units(made.states.batch(places))
            parts.append(features[mask].numpy())
            lengths.append(mask.sum(1).numpy())
    flat = np.concatenate(parts)
    return replace(made, features=Ragged(flat, np.concatenate(lengths)), states=None)
