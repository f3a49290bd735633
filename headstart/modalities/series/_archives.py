"""Files of the UCR and UEA archives (arXiv:1810.07758, arXiv:1811.00075): .ts, .tsv, .arff, .npz.

A name that ends in `_TRAIN` brings its `_TEST` along, and the published split with it; a folder that
holds the two may be named instead. In `.npz` files series are (N, channels, T), as both archives keep them.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import DataError

ALWAYS = (".ts", ".arff", ".npz")
ASKED = (".tsv", ".txt")
TRAIN, TEST = "_train", "_test"
MISSING = frozenset({"?", "nan", "na", ""})


@dataclass
class Rows:
    """What one file holds.

    Attributes:
        series: (T, C) arrays.
        times: (T,) arrays, where the file has time stamps; else empty.
        labels: a class name or number each; empty without.
        parts: "train" or "test" each, where the file itself says so.
    """

    series: list[np.ndarray] = field(default_factory=list)
    times: list[list[Any]] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)


def owns(path: Path, asked: bool) -> bool:
    """Whether `unpack` reads the file or folder."""
    if path.is_dir():
        return bool(_pair(path))
    suffix = path.suffix.lower()
    if suffix == ".npz" and path.is_file():
        return _has_series(path)
    return path.is_file() and (suffix in ALWAYS or (asked and suffix in ASKED and _bare(path)))


def _has_series(path: Path) -> bool:
    """Whether a `.npz` file holds the arrays that are read here."""
    try:
        with np.load(path, allow_pickle=False) as held:
            return "x" in held.files or {"x_train", "x_test"} <= set(held.files)
    except (ValueError, OSError, zipfile.BadZipFile):
        return False


def unpack(path: Path) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Columns "values" (or "channel 1" ...), "time", "label", "split", and notes. Raises DataError."""
    files = _pair(path) if path.is_dir() else _with_test(path)
    notes: tuple[str, ...] = ()
    total = Rows()
    for part, file in files.items():
        rows = _read(file)
        total.series += rows.series
        total.times += rows.times
        total.labels += rows.labels
        total.parts += [part] * len(rows.series) if part else rows.parts
    if len(files) > 1:
        first, second = (f.name for f in files.values())
        notes = (f"The files fix the split: {first} to learn from, {second} as test.",)
    if not total.series:
        raise DataError(f"{path.name} holds no series. Expected one a line after @data.")
    return _columns(total, path), notes


def _columns(rows: Rows, path: Path) -> dict[str, Any]:
    widths = {s.shape[1] for s in rows.series}
    if len(widths) > 1:
        raise DataError(
            f"{path.name}: series have {min(widths)} to {max(widths)} channels. Expected as many in "
            "each; correct the file."
        )
    width = widths.pop()
    names = ["values"] if width == 1 else [f"channel {c + 1}" for c in range(width)]
    made: dict[str, Any] = {n: [s[:, c] for s in rows.series] for c, n in enumerate(names)}
    for name, values in (("time", rows.times), ("label", rows.labels), ("split", rows.parts)):
        if len(values) == len(rows.series):
            made[name] = values
    return made


def _pair(folder: Path) -> dict[str, Path]:
    """The one TRAIN file of a folder and its TEST file; {} where there is no such pair."""
    found = [
        f
        for f in sorted(folder.iterdir())
        if f.suffix.lower() in (*ALWAYS, *ASKED) and f.stem.lower().endswith(TRAIN)
    ]
    by_ending = sorted(found, key=lambda f: (*ALWAYS, *ASKED).index(f.suffix.lower()))
    if not found or len({f.stem for f in found}) > 1:
        return {}
    both = _with_test(by_ending[0])
    return both if len(both) == 2 else {}


def _with_test(path: Path) -> dict[str, Path]:
    """{"train": ..., "test": ...} where the name says so and the other file is there; else {"": path}."""
    stem = path.stem
    if stem.lower().endswith(TRAIN):
        ending = TEST.upper() if stem.endswith(TRAIN.upper()) else TEST
        other = path.with_name(stem[: -len(TRAIN)] + ending + path.suffix)
        if other.is_file():
            return {"train": path, "test": other}
    return {"": path}


def _read(path: Path) -> Rows:
    readers: dict[str, Callable[[Path], Rows]] = {".ts": _ts, ".arff": _arff, ".npz": _npz}
    try:
        return readers.get(path.suffix.lower(), _tsv)(path)
    except (ValueError, OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} cannot be read: {error}. Expected the archive's {path.suffix} format; fetch "
            "the file again, or save the series as Parquet."
        ) from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that say something."""
    with path.open(encoding="utf-8", errors="strict") as handle:
        for number, line in enumerate(handle, start=1):
            if (text := line.strip()) and text[0] not in "#%":
                yield number, text


def _value(text: str) -> float:
    word = text.strip()
    return math.nan if word.lower() in MISSING else float(word)


def _channels(parts: Sequence[Sequence[float]], where: str) -> np.ndarray:
    """(T, C); shorter channels end in gaps. Raises ValueError for none."""
    longest = max((len(p) for p in parts), default=0)
    if not longest:
        raise ValueError(f"{where} holds no value")
    made = np.full((longest, len(parts)), np.nan, np.float64)
    for channel, part in enumerate(parts):
        made[: len(part), channel] = part
    return made


def _ts(path: Path) -> Rows:
    """sktime's and aeon's .ts: channels by ":", steps by ",", the label last."""
    made, head, begun = Rows(), dict[str, str](), False
    for number, line in _lines(path):
        where = f"line {number}"
        if not begun:
            key, _, rest = line.partition(" ")
            begun = key.lower() == "@data"
            head[key.lower()] = rest.strip().lower()
            continue
        parts = line.split(":")
        classes = head.get("@classlabel", "false").startswith("true")
        if classes or head.get("@targetlabel", "false").startswith("true"):
            label = parts.pop().strip()
            made.labels.append(label if classes else _value(label))
        if head.get("@timestamps") == "true":
            pairs = [_stamped(p, where) for p in parts]
            made.times.append(pairs[0][0])
            made.series.append(_channels([v for _, v in pairs], where))
        else:
            made.series.append(_channels([[_value(v) for v in p.split(",")] for p in parts], where))
    if not begun:
        raise ValueError("there is no line @data")
    return made


def _stamped(text: str, where: str) -> tuple[list[Any], list[float]]:
    """ "(0,1.5),(1,2.5)" -> stamps and values. Raises ValueError."""
    times, values = list[Any](), list[float]()
    for pair in text.strip().strip("()").split("),("):
        stamp, comma, value = pair.rpartition(",")
        if not comma:
            raise ValueError(f"{where}: '{pair[:30]}' is no pair of time and value")
        times.append(_time(stamp))
        values.append(_value(value))
    return times, values


def _time(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text.strip()


def _arff(path: Path) -> Rows:
    """Weka's .arff with one numeric attribute a step and the class last; no relational attributes."""
    made, kinds, begun = Rows(), list[str](), False
    for number, line in _lines(path):
        word = line.split(None, 1)[0].lower()
        if begun:
            cells = line.split(",")
            if len(cells) != len(kinds):
                raise ValueError(f"line {number} has {len(cells)} cells instead of {len(kinds)}")
            label = cells.pop().strip().strip("'\"")
            made.labels.append(_value(label) if kinds[-1] == "number" else label)
            made.series.append(_trimmed(np.array([[_value(c)] for c in cells])))
        elif word == "@attribute":
            if "relational" in line.lower():
                raise ValueError("relational attributes are not read; use the archive's .ts file")
            number_kind = line.rsplit(None, 1)[-1].lower() in ("numeric", "real", "integer")
            kinds.append("number" if number_kind else "class")
        begun = begun or word == "@data"
    if not begun:
        raise ValueError("there is no line @data")
    return made


def _bare(path: Path) -> bool:
    """Whether the first line holds numbers only: the archive's tables have no header."""
    try:
        cells = next(_lines(path))[1].split()
        return len(cells) > 3 and all(c.lower() in MISSING or _is_number(c) for c in cells)
    except (StopIteration, UnicodeDecodeError, OSError):
        return False


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _tsv(path: Path) -> Rows:
    """The archive's tables: the class first, then a value a step; unequal lengths end in NaN."""
    made = Rows()
    for number, line in _lines(path):
        label, *cells = line.split()
        if not cells:
            raise ValueError(f"line {number} holds no value")
        made.labels.append(_class(label))
        made.series.append(_trimmed(np.array([[_value(c)] for c in cells])))
    return made


def _class(text: str) -> str:
    """ "1" for "1.0000000e+00", as older files spell classes."""
    value = float(text) if _is_number(text) else math.nan
    return str(int(value)) if value.is_integer() else text


def _trimmed(values: np.ndarray) -> np.ndarray:
    """Without the gaps that fill up the end; a step at least stays."""
    there = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: there[-1] + 1] if len(there) else values[:1]


def _npz(path: Path) -> Rows:
    """`x` (N, channels, T) or (N, T) with `y` (N,), or `x_train`, `y_train`, `x_test`, `y_test`."""
    made = Rows()
    with np.load(path, allow_pickle=False) as held:
        both = {"x_train", "x_test"} <= set(held.files)
        for part in ("train", "test") if both else ("",):
            end = f"_{part}" if part else ""
            values = np.asarray(held[f"x{end}"], np.float64)
            values = values[:, None, :] if values.ndim == 2 else values
            if values.ndim != 3:
                raise ValueError(f"x{end} has the shape {values.shape}, not (N, channels, T)")
            made.series += [_trimmed(v.T) for v in values]
            if f"y{end}" in held.files:
                made.labels += held[f"y{end}"].tolist()
            made.parts += [part] * len(values) if part else []
    return made
