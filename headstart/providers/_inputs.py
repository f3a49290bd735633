"""What providers share: settings of the input, the document of a source, digests of files."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from headstart.core import digest
from headstart.core.source import UNKNOWN, Loaded, Source
from headstart.errors import DamagedError, PlanError, SourceError, nearest

SIZE = "input_size"
NUMBERS = ("mean", "std")
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
SAFE = "safetensors.torch.save_file(torch.load(PATH, weights_only=True), 'weights.safetensors')"
FACTS = ("licence", "revision", "trained_on", "data_licence", "paper")


def separate(settings: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the input (size, augmentation) and arguments of the network, apart. Raises PlanError."""
    inputs: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for key, value in settings.items():
        if key == SIZE:
            inputs[key] = _size(_plain(value))[1]
        elif key == "augment":
            inputs[key] = [v for v in value.split(",") if v]
        elif key == "crop_pct":
            inputs[key] = numbers(value, key, 1)[0]
        else:
            arguments[key] = _plain(value)
    return inputs, arguments


def _plain(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(value.lower(), value)


def sealed(config: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Preprocessing as the weights want it, with what the person changed; null stands for the usual value.

    Raises:
        PlanError: a value is none of its kind, or there are too few or too many.
    """
    known = {k: v for k, v in config.items() if v is not None}
    size = _size(known.get(SIZE, (3, 224, 224)))
    if SIZE in inputs:
        size = _size([size[0], inputs[SIZE], inputs[SIZE]])
    usual = size[0] == 3
    made = {
        "input_size": size,
        "mean": numbers(
            known.get("mean", (0.485, 0.456, 0.406) if usual else 0.5), "mean", size[0]
        ),
        "std": numbers(known.get("std", (0.229, 0.224, 0.225) if usual else 0.5), "std", size[0]),
        "interpolation": str(known.get("interpolation", "bicubic")),
        "crop_pct": numbers(inputs.get("crop_pct", known.get("crop_pct", 1.0)), "crop_pct", 1)[0],
    }
    for name in ("std", "crop_pct"):
        told = made[name]
        if not all(v > 0 for v in (told if isinstance(told, list) else [told])):
            raise PlanError(f"The setting '{name}' came as {told}; expected numbers above 0.")
    return {**made, **({"augment": inputs["augment"]} if "augment" in inputs else {})}


def _size(told: Any) -> list[int]:
    """Channels, height and width; one number is both sides of a picture of three channels."""
    parts = list(told) if isinstance(told, (list, tuple)) else [3, told, told]
    whole = all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and v == v // 1 for v in parts
    )
    if len(parts) != 3 or not whole or not all(v > 0 for v in parts):
        raise PlanError(
            f"The setting '{SIZE}' came as {told!r}; expected three whole numbers above 0: channels, height, "
            "width, or one for a square picture of three channels."
        )
    return [int(v) for v in parts]


def card(path: Path) -> dict[str, Any]:
    """The JSON document beside a file (`x.json` for `x.onnx`, `x.json` in its parent for a folder `x`); {}
    where there is none. Raises SourceError."""
    beside = path.with_suffix(".json") if path.suffix else path.with_name(f"{path.name}.json")
    if not beside.is_file():
        return {}
    try:
        return dict(json.loads(beside.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise SourceError(
            f"{beside} is no JSON document: {error}. Mend it or remove it."
        ) from error


def intact(path: Path, sha256: str, by: str) -> tuple[str, ...]:
    """What was compared, in words; () where nothing is declared.

    Args:
        sha256: of the file, or the beginning of it; "".
        by: who declares it.

    Raises:
        DamagedError: the file is another one.
    """
    if not sha256:
        return ()
    found = digest.file(path)
    if not found.startswith(sha256.lower()):
        raise DamagedError(
            f"{path.name} is not the file that {by} describes: its SHA-256 begins with {found[:12]}, not "
            f"with {sha256[:12]}. Fetch or copy it again."
        )
    return (f"{path.name}: SHA-256 as in {by}",)


def no_pickle(path: Path) -> None:
    """Raises SourceError for files that can run code when they are opened, or folders of such."""
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    found = next((p for p in inside if p.suffix.lower() in PICKLES), None)
    if found is not None:
        raise SourceError(
            f"{found.name} is a pickle, which can run any code when opened, so it is refused. Convert it "
            f"where you trust it: {SAFE}."
        )


def handed(path: Path, expected: str, suffix: str = "") -> tuple[dict[str, Any], tuple[str, ...]]:
    """The document beside a file that a person hands over, and what was compared, in words.

    Args:
        expected: said where it is a folder, or ends in something else.
        suffix: what its name must end in; "": anything.

    Raises:
        SourceError: it is no such file, or a pickle.
        DamagedError: it is another file than its document describes.
    """
    no_pickle(path)
    if path.is_dir() or (suffix and path.suffix != suffix):
        raise SourceError(expected)
    told = card(path)
    return told, intact(path, str(told.get("sha256", "")), path.with_suffix(".json").name)


def known(settings: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Raises PlanError for a setting that nothing reads."""
    for key in settings:
        if key not in names:
            raise PlanError(f"Unknown setting '{key}' of the source. {nearest(key, names)}")


def numbers(text: Any, name: str, count: int = 3) -> list[float]:
    """Reads "0.5,0.5,0.5", "0.5", 0.5 or a list as `count` numbers. Raises PlanError."""
    parts = text.split(",") if isinstance(text, str) else text
    parts = list(parts) if isinstance(parts, (list, tuple)) else [parts]
    try:
        made = [float(p) for p in parts]
    except (TypeError, ValueError):
        made = []
    made = made * count if len(made) == 1 else made
    if len(made) != count or not all(map(math.isfinite, made)):
        more = f", or {count} with commas between (in a document a list)" if count > 1 else ""
        raise PlanError(f"The setting '{name}' came as {text!r}; expected one number{more}.")
    return made


def prepared(
    default: Mapping[str, Any], card: Mapping[str, Any], settings: Mapping[str, str]
) -> dict[str, Any]:
    """Sealed preprocessing: what the weights want, then what the card says, then the person's settings."""
    names = (SIZE, "mean", "std", "interpolation", "crop_pct")
    made = {**default, **{n: card[n] for n in names if n in card}}
    texts = {n: settings[n] for n in (SIZE, "crop_pct", "augment") if n in settings}
    if isinstance(made.get(SIZE), int):
        made[SIZE] = [3, made[SIZE], made[SIZE]]
    channels = int(made[SIZE][0])
    for name in NUMBERS:
        told = settings[name] if name in settings else made[name]
        made[name] = numbers(told, name, channels)
    if "interpolation" in settings:
        made["interpolation"] = settings["interpolation"]
    try:
        return sealed(made, separate(texts)[0])
    except ValueError as error:
        raise PlanError(f"A setting of the input is no number: {error}.") from error


def document(
    uri: str,
    module: nn.Module,
    *,
    library: str,
    family: str,
    facts: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    rebuild: Callable[[int], nn.Module] | None,
    config: Mapping[str, Any] | None = None,
    checked: tuple[str, ...] = (),
) -> Loaded:
    """The source document and the network together; what `facts` does not say is unknown."""
    frozen = int(getattr(module, "frozen_parameters", 0))
    source = Source(
        uri=uri,
        name=str(facts.get("name") or uri.partition(":")[2].rpartition("/")[2].partition("?")[0]),
        family=family,
        sha256=digest.tensors(module.state_dict().items()),
        parents=tuple(facts.get("parents", ())),
        parameters=frozen + sum(p.numel() for p in module.parameters()),
        preprocessing=preprocessing,
        **{name: str(facts.get(name) or UNKNOWN) for name in FACTS},
    )
    told = {"library": library, "architecture": family, **(config or {})}
    return Loaded(source, module, told, rebuild, checked)


def renamed(loaded: Loaded, **facts: Any) -> Loaded:
    """The same with other facts in its document."""
    return dataclasses.replace(loaded, source=dataclasses.replace(loaded.source, **facts))
