"""A run's record to files and back: `run.json`, `plan.toml` and `predictions.safetensors`.

`run.json` is written last: a folder that has it holds a finished run. It keeps the whole plan, so
that a later change of a default cannot change what a run was; `plan.toml` keeps the differences,
for people. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.core.evidence import Exhibit, Finding, Measure
from headstart.core.plan import Plan, build, differences
from headstart.core.run import FORMAT, Record
from headstart.errors import HeadstartError, StorageError
from headstart.registry import files
from headstart.registry.plain import dumps, loads, plain
from headstart.version import __version__

RUN = "run.json"
PLAN = "plan.toml"
PREDICTIONS = "predictions.safetensors"

_HEAD = "# What differs from the defaults; all else is as headstart {version} has it.\n"


def write(record: Record, folder: Path) -> Path:
    """Writes a finished run into `folder`, which is made where it is missing.

    Returns:
        Path of `run.json`.

    Raises:
        StorageError: the folder cannot be written, or the disk is full; `run.json` is then absent,
            or still the former one.
    """
    with files.storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    kept = None
    if record.predictions:
        data = _pack(record.predictions)
        files.write(folder / PREDICTIONS, data)
        kept = {"file": PREDICTIONS, "sha256": hashlib.sha256(data).hexdigest()}
    write_plan(record.plan, folder / PLAN)
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    values |= {"headstart": __version__, "predictions": kept}
    files.write(folder / RUN, dumps(values))
    return folder / RUN


def read(folder: Path, *, predictions: bool = True) -> Record:
    """The record in `folder`, equal to the one that was written.

    Args:
        predictions: whether the stored predictions are read too; without them the record's
            `predictions` is empty, which is enough for a list of runs.

    Raises:
        StorageError: there is no finished run, it is damaged, or a newer headstart wrote it.
    """
    path = folder / RUN
    try:
        values = loads(path.read_bytes())
    except FileNotFoundError:
        raise StorageError(
            f"{folder} holds no finished run: there is no {RUN}. Look for others with: headstart runs"
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise _damaged(path, "it has no format number")
    if values["format"] > FORMAT:
        raise StorageError(
            f"{path} has format {values['format']}, written by headstart "
            f"{values.get('headstart', 'of a later version')}; this one, {__version__}, reads up to "
            f"{FORMAT}. Update with: pip install --upgrade headstart"
        )
    kept = values.get("predictions")
    try:
        stored = _unpack(folder / kept["file"], kept["sha256"]) if kept and predictions else {}
        return _record(values, stored)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(path, error) from error


def write_plan(plan: Plan, path: Path) -> None:
    """A plan as TOML, holding only what differs from the defaults. Raises StorageError.

    TOML has no word for "none": a setting of that value is named in a comment instead.
    """
    import tomli_w

    absent: list[str] = []
    values = _toml(differences(plan), "", absent)
    said = "".join(f"# {name} is none, which TOML cannot say\n" for name in absent)
    text = _HEAD.format(version=__version__) + said + tomli_w.dumps(values)
    files.write(path, text.encode())


def _toml(thing: Any, where: str, absent: list[str]) -> Any:
    """Values that TOML can hold; names what it left out in `absent`."""
    if isinstance(thing, Mapping):
        made = {}
        for key, value in thing.items():
            name = f"{where}.{key}".lstrip(".")
            if value is None:
                absent.append(name)
            else:
                made[str(key)] = _toml(value, name, absent)
        return made
    if isinstance(thing, (list, tuple)):
        return [_toml(value, where, absent) for value in thing if value is not None]
    return thing if isinstance(thing, float) else plain(thing)


def _record(values: Mapping[str, Any], predictions: Mapping[str, Any]) -> Record:
    return Record(
        id=values["id"],
        plan=build(Plan, values["plan"]),
        digests=values["digests"],
        source=values["source"],
        classes=tuple(values["classes"]),
        findings=tuple(_finding(f) for f in values["findings"]),
        predictions=predictions,
        facts=values["facts"],
        notes=tuple(values["notes"]),
        set_aside=tuple(values["set_aside"]),
        format=values["format"],
    )


def _finding(values: Mapping[str, Any]) -> Finding:
    return Finding(
        check=values["check"],
        measures=tuple(Measure(**m) for m in values["measures"]),
        exhibits=tuple(Exhibit(**e) for e in values["exhibits"]),
        missing=tuple((what, why) for what, why in values["missing"]),
    )


def _pack(predictions: Mapping[str, Any]) -> bytes:
    """Numeric arrays as tensors of their own type; the rest (names, texts) as JSON in the header."""
    import numpy as np
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    rest: dict[str, Any] = {}
    for name, value in predictions.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
            arrays[name] = np.array(value, order="C")
        else:
            rest[name] = value
    return save(arrays, {"rest": dumps(rest).decode("utf-8")})


def _unpack(path: Path, sha256: str) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path, error) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise _damaged(path, "its digest is not the one in run.json")
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        rest = loads(header["__metadata__"]["rest"].encode("utf-8"))
        return {**rest, **load(data)}
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> HeadstartError:
    return StorageError(
        f"{path} is damaged ({why}). Restore it from a copy, or run the plan again: "
        f"headstart run {path.parent / PLAN}"
    )
