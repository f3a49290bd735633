"""Packs: what is shipped. Changed weights, sealed preprocessing, card, licences; not the base.

A pack is a folder of three files. `head.safetensors` holds the tensors that training made or
changed; `pack.json` all else, with the SHA-256 of the other files and a digest of itself; `README.md`
says the same to people. The base is named by the digest of its tensors and fetched by whoever loads
the pack. Digests find damage and mix-ups; they are no signature: who can rewrite a whole pack can
rewrite its digests too.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.core import digest, faults
from headstart.core.dataset import Field
from headstart.errors import PackError
from headstart.registry import card, files
from headstart.registry.plain import dumps, loads, plain
from headstart.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
PACK = "pack.json"
TENSORS = "head.safetensors"
CARD = "README.md"
TOLERANCE = 1e-6

_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"}


@dataclass(frozen=True)
class Base:
    """The pretrained network that a pack stands on.

    Attributes:
        source: the source document as a mapping.
        digest: of the base's tensors as the source published them (`core.digest.tensors`).
    """

    source: Mapping[str, Any]
    digest: str


@dataclass(frozen=True)
class Probe:
    """What the packed network must say.

    Attributes:
        keys: content digests of the probed samples, hexadecimal; the samples stay at home.
        outputs: (rows, classes) probabilities or (rows,) numbers, float.
    """

    keys: tuple[str, ...]
    outputs: np.ndarray


@dataclass(frozen=True)
class PackParts:
    """All that a pack carries, as plain values and tensors.

    Attributes:
        outcome: "classify", "regress" ...
        modality: folder name of the modality whose transform is sealed.
        targets: state of the targets (class names), for the head file's `restore`.
        transform: state of the transform, for the modality's `restore`.
        fields: inputs that a sample has.
        recipe: strategy, settings, cut, executor and version, profile, seed, run id.
        card: what it is for, how well it does, what it must not be used for; JSON values.
        licences: the chain, base first: what, licence, where.
        tensors: head and changed weights by their names in the network.
        digest: of everything else in the pack; empty before it is saved.
    """

    base: Base
    outcome: str
    modality: str
    targets: Mapping[str, Any]
    transform: Mapping[str, Any]
    fields: tuple[Field, ...]
    recipe: Mapping[str, Any]
    card: Mapping[str, Any]
    licences: tuple[Mapping[str, Any], ...]
    probe: Probe
    tensors: Mapping[str, Tensor] = field(repr=False)
    digest: str = ""


def save(
    folder: Path,
    parts: PackParts,
    predict_with: Callable[[PackParts], np.ndarray],
    *,
    tolerance: float = TOLERANCE,
) -> PackParts:
    """Writes a pack, reads it back, asks it to predict, and only then puts it in place.

    Args:
        folder: where the pack shall lie; a pack that lies there is replaced once the new one is
            complete.
        predict_with: assembles the network from the pack as read back and predicts the probed
            samples; shape as `parts.probe.outputs`.
        tolerance: largest difference of a probability; for numbers, per unit of the larger of 1
            and the number. Profile "fast" states a wider one.

    Returns:
        The pack as it was read back, with its digest.

    Raises:
        PackError: the reloaded pack predicts differently, or `folder` holds something else.
        StorageError: the folder cannot be written, or the disk is full; nothing was replaced.
    """
    _recover(folder)
    if (
        folder.exists()
        and not (folder / PACK).is_file()
        and (folder.is_file() or any(folder.iterdir()))
    ):
        raise PackError(
            f"{folder} exists and is no pack, so it is not replaced. Choose another folder."
        )
    part = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with files.storing(folder):
            part.mkdir(parents=True)
            _write(part, parts)
        loaded = load(part)
        same(np.asarray(predict_with(loaded)), parts.probe.outputs, tolerance)
        with files.storing(folder):
            _place(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return loaded


def load(folder: Path) -> PackParts:
    """Reads a pack; every byte is checked against its digest before it is used.

    Raises:
        PackError: there is no pack, it is damaged or changed, a newer headstart wrote it, or it is
            a pickle.
    """
    folder = Path(folder)
    _recover(folder)
    _refuse_pickles(folder)
    values = _document(folder)
    data = {name: _bytes(folder / name, entry) for name, entry in values["files"].items()}
    if set(data) != {TENSORS, CARD}:
        raise _damaged(folder, f"it names the files {', '.join(sorted(data))}")
    try:
        return _parts(values, _tensors(data[TENSORS]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error


def check_base(pack: PackParts, found: str) -> None:
    """Compares the base at hand with the one that the pack was made on.

    Args:
        found: digest of the base's tensors, as `core.digest.tensors` gives it.

    Raises:
        PackError: they differ.
    """
    if found != pack.base.digest:
        source = pack.base.source
        raise PackError(
            f"This pack stands on the base {pack.base.digest[:12]}... "
            f"({source.get('uri', 'unknown')}, revision {source.get('revision', 'unknown')}); the one "
            f"at hand is {found[:12]}.... Fetch the same revision, or run the plan again on this one."
        )


def _write(folder: Path, parts: PackParts) -> None:
    from safetensors.torch import save as to_bytes

    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in parts.tensors.items()}
    values = {f.name: getattr(parts, f.name) for f in fields(parts)}
    del values["tensors"], values["digest"]
    values |= {"format": FORMAT, "headstart": __version__}
    contents = {TENSORS: to_bytes(tensors), CARD: card.text(plain(values)).encode()}
    values["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in contents.items()
    }
    values["digest"] = digest.value(plain(values))
    for name, data in contents.items():
        files.write_through(folder / name, data)
    files.write_through(folder / PACK, dumps(values))
    files.sync(folder)


def _place(part: Path, folder: Path) -> None:
    """Puts the complete pack in place; a former one steps aside first and comes back on failure."""
    former = _former(folder)
    if folder.exists():
        folder.rename(former)
    faults.point("packs.between_renames")
    try:
        part.rename(folder)
    except OSError:
        _recover(folder)
        raise
    files.sync(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


def _former(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.former")


def _recover(folder: Path) -> None:
    """Finishes a replacement that a crash broke off between its two renames."""
    former = _former(folder)
    if former.is_dir():
        if folder.exists():
            shutil.rmtree(former, ignore_errors=True)
        else:
            with files.storing(folder):
                former.rename(folder)


def _refuse_pickles(path: Path) -> None:
    """A pickle can run any code when it is read, so none is read."""
    found = path if path.suffix.lower() in _PICKLES else None
    if path.is_dir() and not (path / PACK).is_file():
        found = next((p for p in sorted(path.iterdir()) if p.suffix.lower() in _PICKLES), found)
    if found is not None:
        raise PackError(
            f"{found} is no pack. Files of that kind may run code when they are opened, so headstart "
            f"opens none. A pack is a folder with {PACK} and {TENSORS}, written by headstart. To use "
            "foreign weights, let who trusts them convert them: "
            "safetensors.torch.save_file(torch.load(PATH, weights_only=True), 'weights.safetensors'), "
            "and name that file as a source: file:weights.safetensors"
        )


def _document(folder: Path) -> dict[str, Any]:
    path = folder / PACK
    try:
        values = loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise PackError(
            f"{folder} is no pack: there is no {PACK} in it. Expected the folder of a released run."
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(folder, error) from error
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise _damaged(folder, f"{PACK} has no format number")
    if values["format"] > FORMAT:
        raise PackError(
            f"{folder} has format {values['format']}, written by headstart "
            f"{values.get('headstart', 'of a later version')}; this one, {__version__}, reads up to "
            f"{FORMAT}. Update with: pip install --upgrade headstart"
        )
    own = values.get("digest")
    rest = {key: value for key, value in values.items() if key != "digest"}
    if own != digest.value(plain(rest)) or not isinstance(values.get("files"), dict):
        raise _damaged(folder, f"{PACK} does not have the digest that it names")
    return values


def _bytes(path: Path, entry: Mapping[str, Any]) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _damaged(path.parent, f"{path.name}: {error.strerror}") from error
    if len(data) != entry["bytes"]:
        raise _damaged(path.parent, f"{path.name} has {len(data)} bytes, not {entry['bytes']}")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise _damaged(path.parent, f"{path.name} has another SHA-256 than {PACK} names")
    return data


def _tensors(data: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    try:
        return from_bytes(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _parts(values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> PackParts:
    names = {f.name for f in fields(PackParts)} - {"tensors"}
    parts = PackParts(**{name: values[name] for name in names}, tensors=tensors)
    return replace(
        parts,
        base=Base(**values["base"]),
        fields=tuple(Field(**f) for f in values["fields"]),
        licences=tuple(values["licences"]),
        probe=Probe(tuple(values["probe"]["keys"]), np.asarray(values["probe"]["outputs"])),
    )


def same(found: np.ndarray, expected: np.ndarray, tolerance: float, what: str = "") -> None:
    """Raises PackError unless a reloaded pack predicts what the run predicted, of `what`."""
    told = f" for '{what}'" if what else ""
    expected = np.asarray(expected, dtype=np.float64)
    if found.shape != expected.shape:
        raise PackError(
            f"The reloaded pack gave outputs{told} of shape {found.shape}, the run {expected.shape}; nothing "
            "was saved. Run the plan again; should it persist, please report it."
        )
    gap = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    gap = gap[~(np.isnan(found) & np.isnan(expected))]  # behind a row's end
    worst = float(gap.max()) if gap.size else 0.0
    if not worst <= tolerance:  # NaN is a difference too, unless on both sides
        raise PackError(
            f"The reloaded pack predicts differently{told}: by {worst:.2g}, where {tolerance:.2g} is "
            "allowed; nothing was saved. Pack with the executor and profile of the run, or run the plan "
            "again."
        )


def _damaged(folder: Path, why: object) -> PackError:
    return PackError(
        f"The pack {folder} is damaged or was changed ({why}). Copy it again from where it was "
        "released, or release the run again."
    )
