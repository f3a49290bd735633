"""Series as exhibits: a line for each channel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from headstart.core.dataset import Field, Sample
from headstart.modalities.series import _signal

POINTS = 120
"""Pairs of points a line; of longer series each keeps the least and the greatest of its steps."""
LINES = 6


def exhibit(sample: Sample, fields: Sequence[Field]) -> Mapping[str, str]:
    """{"kind": "lines", "lines": JSON list of {"name", "x", "y"}}; a gap is None. The first six channels."""
    one = _signal.series(sample, fields)
    values, _ = _signal.regular(one)
    names = _names(sample, fields)
    lines = []
    for channel, name in enumerate(names[:LINES]):
        places, heights = _thinned(values[:, channel])
        lines.append({"name": name, "x": places, "y": heights})
    note = f"{len(values)} steps"
    if len(names) > LINES:
        note += f", {LINES} of {len(names)} channels"
    return {"kind": "lines", "lines": json.dumps(lines), "note": note}


def _names(sample: Sample, fields: Sequence[Field]) -> list[str]:
    """A name for each channel; none where there is one only."""
    made = []
    for field in fields:
        if field.kind == _signal.VALUES:
            count = _signal.unpack(sample[field.name]).shape[1]
            made += [field.name] if count == 1 else [f"{field.name} {c + 1}" for c in range(count)]
    return made if len(made) > 1 else [""]


def _thinned(values: np.ndarray) -> tuple[list[int], list[float | None]]:
    """Steps and values to draw; a block of steps by its least and greatest, in their order."""
    if len(values) <= 2 * POINTS:
        places = list(range(len(values)))
    else:
        places = []
        for block in np.array_split(np.arange(len(values)), POINTS):
            there = block[~np.isnan(values[block])]
            found = (
                {there[np.argmin(values[there])], there[np.argmax(values[there])]}
                if len(there)
                else {block[0]}
            )
            places += sorted(int(p) for p in found)
    return places, [None if np.isnan(v) else float(f"{v:.5g}") for v in values[places]]
