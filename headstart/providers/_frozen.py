"""Networks that another runtime computes: pictures in, features out, nothing to train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import PlanError, SourceError, nearest
from headstart.providers import _inputs as inputs

LAYOUTS = ("nchw", "nhwc")
SETTINGS = (
    *("input", "output", "layout", "input_size", "mean", "std", "interpolation"),
    *("crop_pct", "augment"),
)
RAW = {"mean": 0.0, "std": 1 / 255}


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        shape: None where the graph leaves a size open.
        dtype: as NumPy names it ("float32").
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Door:
    """Where pictures enter.

    Attributes:
        layout: "nchw" or "nhwc".
        batch: rows that the graph wants at once; 0: any number.
        size: channels, height, width; None where the graph leaves it open.
    """

    port: Port
    layout: str
    batch: int
    size: tuple[int, int | None, int | None]


class Frozen(nn.Module):
    """Pictures (N, C, H, W) to features (N, width), by `run` in another runtime.

    Args:
        run: array in the door's layout and type -> array (N, ...).
        fingerprint: SHA-256 of what is run, hexadecimal: the digest of the source follows from it.
        door: where pictures enter; a result of four axes has its channels where the door's layout has them.
        frozen: why nothing in it can be trained, as the end of a sentence.
        parameters: how many numbers it learned.

    Attributes:
        frozen: as it was given.
        frozen_parameters: `parameters`, as it was given; torch counts none.
        operations: for one row, where they could be counted.
        width: features; 0 until `measured` has told.
    """

    fingerprint: Tensor

    def __init__(
        self,
        run: Callable[[np.ndarray], np.ndarray],
        door: Door,
        *,
        fingerprint: str,
        frozen: str,
        parameters: int,
    ) -> None:
        super().__init__()
        self.run, self.door, self.frozen = run, door, frozen
        self.frozen_parameters = parameters
        self.operations: float | None = None
        self.width = 0
        told = torch.tensor(list(bytes.fromhex(fingerprint)), dtype=torch.uint8)
        self.register_buffer("fingerprint", told)

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        array = pixels.detach().float().cpu().numpy()
        if self.door.layout == "nhwc":
            array = array.transpose(0, 2, 3, 1)
        array = _typed(array, self.door.port.dtype)
        step = self.door.batch or len(array)
        made = [self._some(array[i : i + step]) for i in range(0, len(array), step)]
        return pixels.new_tensor(np.concatenate(made))

    def _some(self, rows: np.ndarray) -> np.ndarray:
        """Features of rows, filled up with the first one where the graph wants more at once."""
        missing = self.door.batch - len(rows)
        whole = np.concatenate([rows, rows[:1].repeat(missing, 0)]) if missing > 0 else rows
        found = np.asarray(self.run(np.ascontiguousarray(whole)), np.float32)[: len(rows)]
        return pooled(found, self.door.layout)

    def __deepcopy__(self, memo: Any) -> Frozen:
        return self  # it never changes, and a session cannot be copied


def _typed(array: np.ndarray, dtype: str) -> np.ndarray:
    """Numbers as the graph wants them; whole ones are rounded, as they were pixels."""
    kind = np.dtype(dtype)
    return np.rint(array).astype(kind) if kind.kind in "iu" else array.astype(kind)


def pooled(found: np.ndarray, layout: str) -> np.ndarray:
    """Features (N, width): maps are averaged over places, tokens (N, L, width) over tokens."""
    if found.ndim == 4:
        return found.mean((2, 3) if layout == "nchw" else (1, 2))
    return found.mean(1) if found.ndim == 3 else found.reshape(len(found), -1)


def door(
    ports: Sequence[Port], name: str, settings: Mapping[str, str], card: Mapping[str, Any]
) -> Door:
    """Which input takes pictures, in which layout. Raises SourceError, PlanError with the inputs found."""
    told = ", ".join(f"{p.name} {p.dtype} {shaped(p)}" for p in ports) or "none"
    asked = str(settings.get("input", card.get("input", "")))
    if asked:
        if asked not in {p.name for p in ports}:
            raise PlanError(
                f"{name} has no input '{asked}'. {nearest(asked, [p.name for p in ports])}"
            )
        if len(ports) > 1:
            raise SourceError(
                f"{name} needs {len(ports)} inputs at once ({told}); expected one, of pictures."
            )
    if len(ports) != 1 or len(ports[0].shape) != 4:
        raise SourceError(
            f"{name} takes these inputs: {told}. Expected one input of pictures: four axes, (rows, channels, "
            "height, width) or (rows, height, width, channels)."
        )
    port = ports[0]
    if np.dtype(port.dtype).kind not in "fiu":
        raise SourceError(f"{name} takes {port.dtype}; expected numbers.")
    layout = str(settings.get("layout", card.get("layout", ""))).lower() or _layout(port, name)
    if layout not in LAYOUTS:
        raise PlanError(f"Unknown layout '{layout}'. {nearest(layout, LAYOUTS)}")
    axes = (1, 2, 3) if layout == "nchw" else (3, 1, 2)
    channels, high, wide = (port.shape[a] for a in axes)
    if channels not in (None, 1, 3):
        raise SourceError(
            f"{name} takes {told}: {channels} channels. Expected 1 or 3, or another ?layout= (nchw, nhwc)."
        )
    return Door(port, layout, port.shape[0] or 0, (channels or 3, high, wide))


def _layout(port: Port, name: str) -> str:
    first, last = port.shape[1] in (1, 3), port.shape[3] in (1, 3)
    if first != last:
        return "nchw" if first else "nhwc"
    raise PlanError(
        f"{name} takes {port.name} {shaped(port)}, which does not tell where the channels are. Say it: "
        "?layout=nchw (channels first) or ?layout=nhwc (channels last)."
    )


def shaped(port: Port) -> str:
    """Its shape for a person; what is open is a question mark."""
    return "(" + ", ".join("?" if s is None else str(s) for s in port.shape) + ")"


def size(found: Door, name: str, settings: Mapping[str, str], card: Mapping[str, Any]) -> list[int]:
    """Channels, height, width. Raises PlanError where nothing tells, or the graph says otherwise."""
    asked = settings.get("input_size", card.get("input_size"))
    channels, high, wide = found.size
    if asked is None:
        if high is None or wide is None:
            raise PlanError(
                f"{name} takes pictures of any size ({shaped(found.port)}). Say which it was trained on: "
                "?input_size=224"
            )
        return [channels, high, wide]
    try:
        sides = (
            [int(v) for v in asked][-2:] if isinstance(asked, (list, tuple)) else [int(asked)] * 2
        )
    except ValueError as error:
        raise PlanError(f"input_size came as '{asked}'; expected a number of pixels.") from error
    if high not in (None, sides[0]) or wide not in (None, sides[1]):
        raise PlanError(
            f"{name} takes pictures of {high} x {wide} pixels; input_size came as {asked}. Leave it out."
        )
    return [channels, *sides]


def scales(
    found: Door, name: str, settings: Mapping[str, str], card: Mapping[str, Any]
) -> dict[str, Any]:
    """Mean and deviation: stated, or raw for graphs over whole numbers. Raises PlanError."""
    if {"mean", "std"} <= {*settings, *card}:
        return {}
    if np.dtype(found.port.dtype).kind in "iu":
        return RAW
    raise PlanError(
        f"{name} does not say how it wants its pixels. Say it, in values of 0 to 1: "
        "?mean=0.485,0.456,0.406&std=0.229,0.224,0.225 (most networks of torch), "
        "?mean=0.5&std=0.5 (-1 to 1), ?mean=0&std=1 (0 to 1), ?mean=0&std=0.00392157 (0 to 255), or in a "
        ".json document beside it."
    )


def chosen(names: Sequence[str], inner: Sequence[str], name: str, asked: str) -> str:
    """Which result is taken for the features. Raises PlanError where several could be."""
    if asked:
        if asked not in {*names, *inner}:
            raise PlanError(f"{name} has no output '{asked}'. {nearest(asked, [*names, *inner])}")
        return asked
    if len(names) != 1:
        raise PlanError(
            f"{name} gives {len(names)} results: {', '.join(names)}. Name the one with the features: "
            f"?output={names[-1] if names else 'NAME'}"
        )
    return names[0]


def prepared(
    found: Door, name: str, settings: Mapping[str, str], card: Mapping[str, Any]
) -> dict[str, Any]:
    """Sealed preprocessing of the pictures that enter there. Raises PlanError where nothing tells it."""
    default = {
        "input_size": size(found, name, settings, card),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        **scales(found, name, settings, card),
    }
    plain = {k: v for k, v in settings.items() if k != "input_size"}
    said = {k: v for k, v in card.items() if k != "input_size"}
    return inputs.prepared(default, said, plain)


def measured(module: Frozen, name: str, picture: Sequence[int]) -> Frozen:
    """The network with its width, from a grey picture. Raises SourceError where it cannot be run."""
    try:
        found = module(torch.full((2, *picture), 0.5))
    except Exception as error:  # runtimes raise of all kinds
        text = " ".join(str(error).split())[:300]
        raise SourceError(
            f"{name} could not be run on pictures of {picture[1]} x {picture[2]} pixels: {text}. Expected a "
            "network that gives one row of numbers a picture."
        ) from error
    if found.ndim != 2 or len(found) != 2 or not bool(torch.isfinite(found).all()):
        raise SourceError(
            f"{name} gave {tuple(found.shape)} for two pictures; expected one row of finite numbers each."
        )
    module.width = int(found.shape[1])
    return module
