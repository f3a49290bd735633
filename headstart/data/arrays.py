"""Arrays, records and frames as named columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headstart.data import levels
from headstart.errors import DataError

Inputs = Any
"""Paths, texts, bytes or records in a sequence; columns in a mapping, frame or Arrow table; numbers of
shape (n, columns); arrays, one a sample."""


def bare(inputs: Inputs) -> bool:
    """Whether the inputs came without names of columns, so that all of them are inputs."""
    if isinstance(inputs, (str, Path, Mapping, pa.Table)) or hasattr(inputs, "columns"):
        return False
    return not (len(inputs) and isinstance(inputs[0], Mapping))


def column_names(inputs: Inputs) -> list[str]:
    """Names of the columns that came; [] where they came without."""
    if isinstance(inputs, Mapping):
        return list(inputs)
    if isinstance(inputs, pa.Table):
        return list(inputs.column_names)
    if hasattr(inputs, "columns"):  # a frame
        return [str(n) for n in inputs.columns]
    if isinstance(inputs, (list, tuple)) and len(inputs) and isinstance(inputs[0], Mapping):
        return list(inputs[0])
    return []


def uneven(inputs: Inputs) -> bool:
    """Whether the inputs are rows of different length."""
    if not isinstance(inputs, (list, tuple)):
        return False
    sizes = {len(v) if isinstance(v, (list, tuple, np.ndarray)) else -1 for v in inputs}
    return len(sizes) > 1 and -1 not in sizes


def as_columns(
    inputs: Inputs, names: Sequence[str] = (), *, whole: bool = False
) -> Mapping[str, Any]:
    """Arrays, records, frames as columns. Raises DataError.

    Args:
        whole: whether an array in a sequence, or a row of a larger one, is one value.
    """
    if isinstance(inputs, (str, Path)):
        raise DataError(
            f"{str(inputs)!r} came as inputs; expected a list of them. Write [{str(inputs)!r}]."
        )
    if isinstance(inputs, Mapping):
        return inputs
    if isinstance(inputs, pa.Table):
        return {
            n: _cells(inputs.column(n), inputs.column(n).to_pylist) for n in inputs.column_names
        }
    if hasattr(inputs, "columns") and hasattr(inputs, "to_dict"):  # a frame
        return {str(n): _cells(inputs[n], inputs[n].tolist) for n in inputs.columns}
    values: Any = inputs if isinstance(inputs, np.ndarray) else list(inputs)
    if not len(values):
        raise DataError(
            "No rows were given. Expected one value, or one row of numbers, per example."
        )
    if isinstance(values[0], Mapping):
        keys = list(dict.fromkeys(k for row in values for k in row))
        return {k: [row.get(k) for row in values] for k in keys}
    if isinstance(values[0], (np.ndarray, list, tuple)):
        if whole:
            return {names[0] if len(names) == 1 else "input": values}
        values = _even(values)
    if isinstance(values, np.ndarray) and values.ndim == 2:
        named = list(names) if len(names) == values.shape[1] else []
        return {(named[i] if named else f"x{i}"): values[:, i] for i in range(values.shape[1])}
    if isinstance(values, np.ndarray) and values.ndim > 2:
        raise DataError(
            f"An array of shape {values.shape} came as inputs; expected (n,) or (n, columns). Encode "
            "pictures as PNG bytes, or give their paths; name the modality where a sample is an array."
        )
    return {names[0] if len(names) == 1 else "input": values}


def _cells(column: Any, listed: Callable[[], list[Any]]) -> Any:
    """A column as a list; one whose values have an order keeps it."""
    return column if levels.declared(column) else listed()


def _even(rows: Any) -> np.ndarray:
    """Rows of equal length as one array. Raises DataError for the first that differs."""
    try:
        sizes = [np.shape(row) for row in rows]
    except ValueError:
        raise DataError(
            "A row holds lists of different lengths. Expected one number a cell; spread lists over columns."
        ) from None
    for place, size in enumerate(sizes):
        if size != sizes[0]:
            raise DataError(
                f"Row {place + 1} came with the shape {size}, the first with {sizes[0]}. Expected rows of "
                "equal length; fill what is missing with NaN."
            )
    return np.asarray(rows)
