"""Pictures as arrays of pixels, in memory or in a `.npz` file; each becomes a PNG, which loses nothing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.core.reader import Gathered
from headstart.errors import DataError

COLUMN = "image"
LEAST = 4  # pixels a side: thinner arrays are no pictures
CHANNELS = (1, 3, 4)
PARTS = ("train", "test")


def gather(thing: Any, *, labelled: bool) -> Gathered | None:
    """Rows of an array, or of a `.npz` file with `x` (and `y`), or with `x_train` and `x_test`; None where
    these are no pictures.

    Args:
        thing: uint8 (N, H, W), (N, H, W, channels) or (N, channels, H, W); or a path.
        labelled: whether labels and parts are told too.

    Raises:
        DataError: the pictures of a file can be read, their labels cannot.
    """
    if isinstance(thing, np.ndarray):
        known = _are_pictures(thing.dtype, thing.shape)
        return Gathered({COLUMN: _encoded(thing)}, (_told(thing),)) if known else None
    if not isinstance(thing, Path) or thing.suffix.lower() != ".npz" or not thing.is_file():
        return None
    names = ("x_train", "x_test") if _header(thing, "x") is None else ("x",)
    if not all(_are_pictures(*header) if (header := _header(thing, n)) else False for n in names):
        return None
    try:
        with np.load(thing, allow_pickle=False) as held:
            if names == ("x",):
                return _whole(held, labelled)
            return _parts(held, labelled)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{thing.name} cannot be read: {error}. Expected x (pictures) and y (a label each) of as many "
            "rows; correct the arrays."
        ) from error


def _whole(held: Mapping[str, np.ndarray], labelled: bool) -> Gathered:
    """`x` (N, ...), `y` (N,) and further arrays (N,), which keep their names."""
    pictures = held["x"]
    columns: dict[str, Sequence[Any]] = {COLUMN: _encoded(pictures)}
    for name in [n for n in held if n != "x"] if labelled else ():
        values = held[name]
        if name == "y":
            columns["label"] = _labels(values, len(pictures))
        elif values.shape == (len(pictures),):
            columns[name] = values.tolist()
    return Gathered(columns, (_told(pictures),))


def _parts(held: Mapping[str, np.ndarray], labelled: bool) -> Gathered:
    """`x_train`, `y_train`, `x_test`, `y_test`: the split is fixed."""
    cells, labels, parts, notes = list[bytes](), list[Any](), list[str](), list[str]()
    for part in PARTS:
        pictures = held[f"x_{part}"]
        cells += _encoded(pictures)
        parts += [part] * len(pictures)
        notes.append(f"x_{part}: {_told(pictures)}")
        if labelled and f"y_{part}" in held:
            labels += _labels(held[f"y_{part}"], len(pictures))
    columns: dict[str, Sequence[Any]] = {COLUMN: cells}
    if labelled:
        columns |= {"label": labels, "split": parts} if len(labels) == len(cells) else {}
    return Gathered(columns, tuple(notes))


def _labels(values: np.ndarray, rows: int) -> list[Any]:
    """(N,) or (N, 1) as a list. Raises ValueError."""
    if values.size != rows:
        raise ValueError(f"{rows} pictures came with labels of the shape {values.shape}")
    return list(values.ravel().tolist())


def _header(path: Path, name: str) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
    """Kind and shape of one array of a file, which is not read; None where it is not there."""
    form = np.lib.format
    try:
        with zipfile.ZipFile(path) as held, held.open(f"{name}.npy") as file:
            read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
            shape, _, kind = read[form.read_magic(file)](file)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
    return kind, shape


def _are_pictures(kind: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    if kind != np.uint8 or len(shape) not in (3, 4) or not shape[0]:
        return False
    sides = shape[1:] if len(shape) == 3 else _upright(shape)
    return len(sides) > 1 and min(sides[:2]) >= LEAST


def _upright(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Height and width of (N, H, W, channels) or (N, channels, H, W); () for anything else."""
    if shape[3] in CHANNELS:
        return shape[1:3]
    return shape[2:] if shape[1] in CHANNELS else ()


def _encoded(pictures: np.ndarray) -> list[bytes]:
    """A PNG file each."""
    if pictures.ndim == 4:
        if pictures.shape[3] not in CHANNELS:
            pictures = np.moveaxis(pictures, 1, -1)
        pictures = pictures[..., 0] if pictures.shape[3] == 1 else pictures
    made = []
    for pixels in pictures:
        held = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(held, "PNG", compress_level=1)
        made.append(held.getvalue())
    return made


def _told(pictures: np.ndarray) -> str:
    high, wide = pictures.shape[1:3] if pictures.ndim == 3 else _upright(pictures.shape)
    return f"Read as {len(pictures)} pictures of {wide} x {high} pixels."
