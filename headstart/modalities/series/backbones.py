"""Networks for series as stages: our own encoder, PatchTST, and random convolutions.

PatchTST (Nie et al. 2023, arXiv:2211.14730) is transformers' PatchTSTModel; other networks are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.modality import Transform
from headstart.core.network import MASK, Backbone, State
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities.series import network
from headstart.modalities.series._kernels import RandomConvolutions
from headstart.modalities.series._recent import RecentValues

VALUES, PLACES = "values", "places"
# What `headstart pretrain` trains where no architecture is named; it is drawn when the columns are known.
DEFAULT = {"architecture": "encoder"}
KERNELS = 512
SHAPE = ("width", "blocks", "halved", "apart")


class Blocks(Backbone):
    """The encoder of `network.py`; a stage is one of its blocks.

    State: {"places": (N, T', width), "mask": (N, T')}; positions are what a head reads that says
    something of every step.
    """

    ragged = (PLACES,)

    def __init__(self, encoder: network.Encoder) -> None:
        super().__init__()
        self.encoder, self.width = encoder, encoder.width
        self.stages = tuple(f"block.{i}" for i in range(len(encoder.blocks)))

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """{"values": (N, T, C), "mask": (N, T)[, "gaps": (N, T)]} or a state in, state out."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return dict(state)
        places, mask = state[PLACES] if start else network.columns(state), state[MASK]
        for number in range(start, end):
            places, mask = self.encoder.block(number, places, mask)
        return {PLACES: places, MASK: mask}

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, width): the mean over real places."""
        return network.mean(state[PLACES], state[MASK])

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, T', width) and mask (N, T'); one place for every four steps."""
        return state[PLACES], state[MASK]

    def stage_of(self, name: str) -> int:
        """The block's number."""
        found = re.match(r"encoder\.blocks\.(\d+)\.", name)
        return int(found.group(1)) if found else len(self.stages) - 1


class Apart(Blocks):
    """The encoder of `network.py`, each channel by itself; a stage is one of its blocks.

    State: {"places": (N, T', C width of a channel + levels), "mask": (N, T')}. The channels' levels, 2 C of
    them or none, stand at every place as they came, as the encoder does not read them.
    """

    def __init__(self, encoder: network.Encoder, channels: int, levels: int) -> None:
        super().__init__(encoder)
        self.channels, self.levels = channels, levels
        self.width = encoder.width * channels + levels

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """{"values": (N, T, C), "mask": (N, T)[, "gaps": (N, T), "level": (N, 1, 2 C)]} or a state in,
        state out."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return dict(state)
        each, level = self._each(state[PLACES]) if start else network.split(state)
        mask = state[MASK].repeat_interleave(self.channels, 0)
        for number in range(start, end):
            each, mask = self.encoder.block(number, each, mask)
        places = each.unflatten(0, (-1, self.channels)).transpose(1, 2).flatten(2)
        return {
            PLACES: torch.cat([places, level[:, : places.shape[1]]], 2),
            MASK: mask[:: self.channels],
        }

    def _each(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T', width) -> (N C, T', width of a channel), and the levels (N, T', 2 C)."""
        wide = places.shape[2] - self.levels
        each = places[..., :wide].unflatten(2, (self.channels, self.encoder.width))
        return each.transpose(1, 2).flatten(0, 1), places[..., wide:]


class Patches(Backbone):
    """PatchTST; stage 0 scales, cuts and embeds patches, stage k is the k-th layer.

    Each channel goes through by itself where the network shares its embedding, so that any number of
    them can be read. State: {"places": (N, P, C width of a channel)}, P patches; the width follows
    from the data's channels.
    """

    def __init__(self, model: Any, channels: int) -> None:
        super().__init__()
        self.network, self.channels = model, channels
        self.depth = int(model.config.d_model)
        self.width = self.depth * channels
        self.stages = ("patches", *(f"layer.{i}" for i in range(len(model.encoder.layers))))

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """{"values": (N, T, C), "mask": (N, T)[, "gaps": (N, T)]} or a state in, state out."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return dict(state)
        hidden = self._apart(state[PLACES]) if start else self._embed(state)
        for layer in self.network.encoder.layers[max(start, 1) - 1 : end - 1]:
            hidden = layer(hidden_state=hidden)[0]
        return {PLACES: hidden.transpose(1, 2).flatten(2)}

    def _apart(self, places: Tensor) -> Tensor:
        """(N, P, C d) -> (N, C, P, d)."""
        return places.unflatten(2, (self.channels, self.depth)).transpose(1, 2).contiguous()

    def _embed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Inputs -> (N, C, P, d)."""
        series, seen = _observed(inputs)
        scaled = self.network.scaler(series, seen)[0]
        patches = self.network.patchifier(scaled)
        embedder, positions = self.network.encoder.embedder, self.network.encoder.positional_encoder
        if not self.network.config.share_embedding:
            hidden = embedder(patches)
        else:
            hidden = embedder.input_embedding(patches)
        if not positions.use_cls_token:
            return positions(hidden)  # type: ignore[no-any-return]
        hidden = positions.positional_dropout(hidden + positions.position_enc[1:])
        first = (positions.cls_token + positions.position_enc[:1]).expand(*hidden.shape[:2], -1, -1)
        return torch.cat([first, hidden], 2)

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, C d): the class token, or the mean over patches, as the network's own heads do."""
        places = state[PLACES]
        return places[:, 0] if self.network.config.use_cls_token else places.mean(1)

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, P, C d), all real."""
        places = state[PLACES]
        return places, torch.ones(places.shape[:2], dtype=torch.bool, device=places.device)

    def stage_of(self, name: str) -> int:
        """Embedding 0, layer k: k + 1."""
        found = re.match(r"network\.encoder\.layers\.(\d+)\.", name)
        return int(found.group(1)) + 1 if found else 0


def _observed(inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Values (N, T, C), and 1 where a step was observed in all channels, else 0."""
    values = inputs[VALUES]
    if "gaps" not in inputs:
        return values, torch.ones_like(values)
    return values, (inputs["gaps"] == 0).to(values.dtype).unsqueeze(2).expand_as(values)


def stage(loaded: Loaded, transform: Transform) -> Backbone:
    """The staged network for series as `transform` gives them.

    Raises:
        SourceError: the network cannot read them.
    """
    kind, made = str(loaded.config.get("architecture", "")), loaded.module
    channels, width = int(transform.channels), int(transform.width)  # type: ignore[attr-defined]
    if kind == "patchtst":
        return _patches(loaded, channels)
    if kind == "random_convolutions":
        asked = loaded.source.preprocessing.get("kernels", KERNELS)
        levels = width - channels - bool(transform.marked)  # type: ignore[attr-defined]
        return RandomConvolutions(
            width - levels,
            int(transform.steps),  # type: ignore[attr-defined]
            levels=levels,
            kernels=int(asked),
            seed=int(loaded.config.get("seed", 0)),
        )
    if kind == "recent_values":  # of a whole octave, as lengths of training rows vary
        told = channels + bool(transform.marked)  # type: ignore[attr-defined]
        return RecentValues(told, 2 * int(transform.steps) - 1)  # type: ignore[attr-defined]
    if kind == "encoder" and isinstance(made, nn.Identity):  # drawn when the channels are known
        with torch.inference_mode(False):
            shape = dict(loaded.config.get("arguments", {}))
            made = network.builder(channels=width, **shape)(int(loaded.config.get("seed", 0)))
    if isinstance(made, network.Encoder) and made.apart:
        levels = width - channels - bool(transform.marked)  # type: ignore[attr-defined]
        return Apart(made, channels, levels)
    if isinstance(made, network.Encoder):
        if made.channels != width:
            raise SourceError(
                f"'{loaded.source.uri}' reads {made.channels} columns; the data give {width}: their "
                "channels, what marks missing values, and each channel's level. Choose another source."
            )
        return Blocks(made)
    raise SourceError(
        f"'{loaded.source.uri}' cannot read series. Choose builtin:random-convolutions, or a PatchTST."
    )


def build(card: Mapping[str, Any]) -> tuple[Callable[[int], nn.Module], dict[str, Any]] | None:
    """Maker (seed -> network with random weights) and preprocessing of weights in a file, by what their
    document says: {"architecture": "encoder", "arguments": {"channels": 3, "width": 64, ...}}; without
    channels it is drawn when they are known, unless it reads each channel "apart". None for what is no
    network of ours."""
    if card.get("architecture") != "encoder":
        return None
    shape = {k: int(v) for k, v in dict(card.get("arguments", {})).items()}
    shape |= {k: int(card[k]) for k in SHAPE if k in card}
    if shape.get("apart"):
        shape["channels"] = network.APART
    if "channels" not in shape:
        return (lambda seed: nn.Identity()), {}
    return network.builder(**shape), {}


def described(backbone: Backbone) -> tuple[nn.Module, dict[str, Any]] | None:
    """The module whose weights are kept, and what `build` reads; None for what it does not build."""
    if not isinstance(backbone, Blocks):
        return None
    made = backbone.encoder
    shape = {
        "channels": made.channels,
        "width": made.width,
        "blocks": len(made.blocks),
        "halved": made.halved,
        "apart": made.apart,
    }
    return made, {"architecture": "encoder", "arguments": shape}


def _patches(loaded: Loaded, channels: int) -> Patches:
    model: Any = loaded.module
    config = model.config
    bound = not config.share_embedding or config.channel_attention
    if bound and channels != config.num_input_channels:
        raise SourceError(
            f"'{loaded.source.uri}' reads {config.num_input_channels} channels; the data have "
            f"{channels}. Give it as many, or choose a source that reads each channel by itself."
        )
    _unmasked(model)
    return Patches(model, channels)


def _unmasked(model: Any) -> None:
    """Takes off the random masking that pre-training left on; it has no weights."""
    model.do_mask_input, model.masking = False, nn.Identity()


def reference(loaded: Loaded, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What the untouched network says: {"pool"} of our encoder, {"positions"} of PatchTST, {} of a
    formula, which has none."""
    made: Any = loaded.module
    if isinstance(made, network.Encoder) and made.apart:
        each = network.split(inputs)[0]
        count = inputs[VALUES].shape[2]
        with torch.no_grad():
            pooled = made(each, inputs[MASK].repeat_interleave(count, 0)).unflatten(0, (-1, count))
        level = inputs["level"][:, 0] if "level" in inputs else pooled[:, 0, :0]
        return {"pool": torch.cat([pooled.flatten(1), level], 1)}
    if isinstance(made, network.Encoder):
        with torch.no_grad():
            return {"pool": made(network.columns(inputs), inputs[MASK])}
    if loaded.config.get("architecture") != "patchtst":
        return {}
    _unmasked(made)
    values, seen = _observed(inputs)
    if made.config.share_embedding and not made.config.channel_attention:
        own = int(
            made.config.num_input_channels
        )  # a channel goes through all of them, which are alike
        each = [
            _hidden(made, values[:, :, [c] * own], seen[:, :, [c] * own])[:, :1]
            for c in range(values.shape[2])
        ]
        hidden = torch.cat(each, 1)
    else:
        hidden = _hidden(made, values, seen)
    return {"positions": hidden.transpose(1, 2).flatten(2)}


def _hidden(model: Any, series: Tensor, seen: Tensor) -> Tensor:
    """(N, C, P, d) from the library's own forward."""
    with torch.no_grad():
        said: Tensor = model(past_values=series, past_observed_mask=seen).last_hidden_state
    return said
