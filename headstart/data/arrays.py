"""Arrays, records and frames as named columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.errors import DataError

Inputs = Any
"""Paths, texts, bytes or records in a sequence; columns in a mapping, frame or Arrow table; numbers of
shape (n, columns); arrays, one a sample."""


def bare(inputs: Inputs) -> bool:
    """Whether the inputs came without names of columns, so that all of them are inputs."""
    if isinstance(inputs, (str, Path, Mapping, pa.Table)) or hasattr(inputs, "columns"):
        return False
    return not (len(inputs) and isinstance(inputs[0], Mapping))


def as_columns(
    inputs: Inputs, names: Sequence[str] = (), *, whole: bool = False
) -> Mapping[str, Any]:
    """Arrays, records, frames as columns. Raises DataError.

    Args:
        whole: whether an array in a sequence, or a row of a larger one, is one value; those of unequal
            length always are.
    """
    if isinstance(inputs, (str, Path)):
        raise DataError(
            f"{str(inputs)!r} came as inputs; expected a list of them. Write [{str(inputs)!r}]."
        )
    if isinstance(inputs, Mapping):
        return inputs
    if isinstance(inputs, pa.Table):
        return {n: inputs.column(n).to_pylist() for n in inputs.column_names}
    if hasattr(inputs, "columns") and hasattr(inputs, "to_dict"):  # a frame
        return {str(n): inputs[n].tolist() for n in inputs.columns}
    values: Any = inputs if isinstance(inputs, np.ndarray) else list(inputs)
    if not len(values):
        raise DataError(
            "No rows were given. Expected one value, or one row of numbers, per example."
        )
    if isinstance(values[0], Mapping):
        keys = list(dict.fromkeys(k for row in values for k in row))
        return {k: [row.get(k) for row in values] for k in keys}
    if isinstance(values[0], (np.ndarray, list, tuple)):
        if whole or len({len(v) for v in values if hasattr(v, "__len__")}) > 1:
            return {names[0] if len(names) == 1 else "input": values}
        values = np.asarray(values)
    if isinstance(values, np.ndarray) and values.ndim == 2:
        named = list(names) if len(names) == values.shape[1] else []
        return {(named[i] if named else f"x{i}"): values[:, i] for i in range(values.shape[1])}
    if isinstance(values, np.ndarray) and values.ndim > 2:
        raise DataError(
            f"An array of shape {values.shape} came as inputs; expected (n,) or (n, columns). Encode "
            "pictures as PNG bytes, or give their paths; name the modality where a sample is an array."
        )
    return {names[0] if len(names) == 1 else "input": values}
