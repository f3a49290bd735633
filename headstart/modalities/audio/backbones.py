"""Networks of sound as ordered stages.

Wav2Vec 2.0 (arXiv:2006.11477) and HuBERT (arXiv:2106.07447) read waveforms; the encoder of Whisper
(arXiv:2212.04356) and the Audio Spectrogram Transformer (arXiv:2104.01778) read spectrograms of a fixed
length; any other network of transformers over waveforms runs as one stage. Networks of pictures read
spectrograms as pictures and are staged as such.
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
from headstart.modalities import _pictures

HIDDEN, REAL = "hidden", "real"


def _lengths(net: Any, lengths: Tensor) -> Tensor:
    """Samples (N,) -> frames (N,) that depend on real samples alone."""
    for size, stride in zip(net.config.conv_kernel, net.config.conv_stride, strict=True):
        lengths = torch.div(lengths - size, stride, rounding_mode="floor") + 1
    return lengths


def _first(lengths: Tensor, longest: int) -> Tensor:
    """(N,) -> (N, longest) bool, true at the first places of each row."""
    return torch.arange(longest, device=lengths.device)[None] < lengths[:, None]


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean of (N, L, D) over the places that the mask (N, L) holds for real."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)


def _keys(net: Any, mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, 1, 1, L): which places attention may read; boolean for fused attention, else to be added."""
    keys = mask[:, None, None, :]
    if net.config._attn_implementation == "sdpa":
        return keys
    return (~keys).to(dtype) * torch.finfo(dtype).min


class _Wave(Backbone):
    """What networks over waveforms share: the mean of their frames."""

    ragged = (HIDDEN,)

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        self.network = loaded.module
        self.width = int(self.network.config.hidden_size)  # type: ignore[union-attr, arg-type]

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """Mean over a sound's own frames, (N, width)."""
        return _mean(state[HIDDEN], state[MASK])

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Frames (N, L, width) and mask (N, L)."""
        return state[HIDDEN], state[MASK]


class Layered(_Wave):
    """Wav2Vec2 and HuBERT: convolutions, embeddings (projection and positions), then the layers.

    State: {"hidden": (N, L, D), "mask": (N, L) bool}, one place a frame. The group norm of the base
    models takes its mean over time, so that padding would move every frame of a row (by half its size in
    wav2vec2-base); here it is taken over real samples alone, and a row says in company what it says alone.
    """

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        net: Any = self.network
        self._last_norm = bool(net.config.do_stable_layer_norm)
        names = (f"layer.{i}" for i in range(len(net.encoder.layers)))
        self.stages = ("convolutions", "embeddings", *names)

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Inputs {"wave": (N, T), "mask": (N, T)} or a state in, state out."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return dict(state)
        net: Any = self.network
        mask = state[MASK]
        hidden = state["wave"] if start == 0 else state[HIDDEN]
        if start == 0:
            hidden, mask = self._convolve(hidden, mask)
        if start <= 1 < end:
            hidden = self._embed(hidden, mask)
        if end > 2:
            keys = _keys(net, mask, hidden.dtype)
            for layer in net.encoder.layers[max(start, 2) - 2 : end - 2]:
                output = layer(hidden, attention_mask=keys)
                hidden = output[0] if isinstance(output, tuple) else output
            if self._last_norm and end == len(self.stages):
                hidden = net.encoder.layer_norm(hidden)
        return {HIDDEN: hidden, MASK: mask}

    def _convolve(self, wave: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T) -> frames (N, L, C) and their mask."""
        net: Any = self.network
        hidden, lengths = (wave * mask)[:, None], mask.sum(1)
        for layer in net.feature_extractor.conv_layers:
            size, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
            lengths = torch.div(lengths - size, stride, rounding_mode="floor") + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                hidden = layer.conv(hidden)
                hidden = layer.activation(_group_norm(norm, hidden, lengths))
            else:
                hidden = layer(hidden)
        return hidden.transpose(1, 2), _first(lengths, hidden.shape[2])

    def _embed(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(N, L, C) -> (N, L, width); the convolution over positions reads zeros behind the end."""
        net: Any = self.network
        output = net.feature_projection(hidden)
        hidden = output[0] if isinstance(output, tuple) else output
        hidden = hidden * mask.unsqueeze(-1)
        hidden = hidden + net.encoder.pos_conv_embed(hidden)
        if not self._last_norm:
            hidden = net.encoder.layer_norm(hidden)
        embedded: Tensor = net.encoder.dropout(hidden)
        return embedded

    def stage_of(self, name: str) -> int:
        """Convolutions 0, embeddings 1, layer k: k + 2."""
        found = re.match(r"network\.encoder\.layers\.(\d+)\.", name)
        if found:
            return int(found.group(1)) + 2
        if name.startswith("network.feature_extractor."):
            return 0
        if name.startswith("network.encoder.layer_norm.") and self._last_norm:
            return len(self.stages) - 1
        return 1


def _group_norm(norm: nn.GroupNorm, hidden: Tensor, lengths: Tensor) -> Tensor:
    """`norm` over the first `lengths` (N,) places of each row of hidden (N, C, L) alone."""
    rows, channels, longest = hidden.shape
    real = _first(lengths, longest)[:, None, None].to(hidden.dtype)
    parts = hidden.reshape(rows, norm.num_groups, -1, longest)
    count = lengths[:, None, None, None] * (channels // norm.num_groups)
    mean = (parts * real).sum((2, 3), keepdim=True) / count
    spread = ((parts - mean) * real).square().sum((2, 3), keepdim=True) / count
    made = ((parts - mean) * torch.rsqrt(spread + norm.eps)).reshape(hidden.shape)
    return made * norm.weight[:, None] + norm.bias[:, None]


class Whole(_Wave):
    """A network over waveforms that nobody has staged: one stage. Rows of unequal length go through it
    one by one, so the engine forms equal-length batches."""

    stages = ("network",)
    companions = False

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Inputs {"wave", "mask"} or the final state in, state out."""
        if start >= 1 or stop == 0:
            return dict(state)
        hidden = _alone(self.network, state["wave"], state[MASK])
        frames = _first(_lengths(self.network, state[MASK].sum(1)), hidden.shape[1])
        return {HIDDEN: hidden, MASK: frames}

    def stage_of(self, name: str) -> int:
        """0: there is one stage."""
        return 0


class Spectral(Backbone):
    """Whisper's encoder and AST: embeddings of a spectrogram of fixed length, then the layers.

    State: {"hidden": (N, L, width)}, and for Whisper "real" (N, L) bool, true where there is sound: its
    attention reads the silence that fills the 30 seconds, but the mean is taken over the sound alone.
    """

    def __init__(self, loaded: Loaded, family: str) -> None:
        super().__init__()
        net: Any = loaded.module
        self.network = net
        self.family = family
        self.width = int(net.config.d_model if family == "whisper" else net.config.hidden_size)
        self.stages = ("embeddings", *(f"layer.{i}" for i in range(len(net.layers))))

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Inputs {"mel"[, "real"]} or a state in, state out."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return dict(state)
        net: Any = self.network
        hidden = self._embed(state["mel"]) if start == 0 else state[HIDDEN]
        for layer in net.layers[max(start, 1) - 1 : end - 1]:
            output = layer(hidden, None)
            hidden = output[0] if isinstance(output, tuple) else output
        if end == len(self.stages):
            hidden = net.layer_norm(hidden) if self.family == "whisper" else net.layernorm(hidden)
        return {HIDDEN: hidden, **({REAL: state[REAL]} if self.family == "whisper" else {})}

    def _embed(self, mel: Tensor) -> Tensor:
        """Spectrograms -> (N, L, width)."""
        net: Any = self.network
        if self.family != "whisper":
            embedded: Tensor = net.embeddings(mel)
            return embedded
        hidden = nn.functional.gelu(net.conv2(nn.functional.gelu(net.conv1(mel))))
        hidden = hidden.transpose(1, 2) + net.embed_positions.weight
        return nn.functional.dropout(hidden, net.dropout, self.training)

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """(N, width): the mean over the sound, or, as AST does, the mean of its two first tokens."""
        if self.family == "whisper":
            return _mean(state[HIDDEN], state[REAL])
        return state[HIDDEN][:, :2].mean(1)

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Places (N, L, width) and mask (N, L): half frames of Whisper, tokens and patches of AST."""
        hidden = state[HIDDEN]
        every = torch.ones(hidden.shape[:2], dtype=torch.bool, device=hidden.device)
        return hidden, state.get(REAL, every)

    def stage_of(self, name: str) -> int:
        """Embeddings 0, layer k: k + 1."""
        found = re.match(r"network\.layers\.(\d+)\.", name)
        if found:
            return int(found.group(1)) + 1
        last = name.startswith(("network.layer_norm.", "network.layernorm."))
        return len(self.stages) - 1 if last else 0


DEFAULT = _pictures.DEFAULT

FAMILIES: dict[str, Callable[[Loaded], Backbone]] = {
    "wav2vec2": Layered,
    "hubert": Layered,
    "whisper": lambda loaded: Spectral(loaded, "whisper"),
    "audio-spectrogram-transformer": lambda loaded: Spectral(loaded, "ast"),
}
"""By transformers' `model_type`."""


def stage(loaded: Loaded, transform: Transform | None = None) -> Backbone:
    """The staged network. Raises SourceError when it reads neither sound nor pictures."""
    if loaded.config.get("library") != "transformers":
        return _pictures.stage(loaded, transform)
    config: Any = getattr(loaded.module, "config", None)
    family = str(loaded.config.get("architecture", ""))
    if getattr(config, "add_adapter", False):
        family = f"{family} with an adapter"
    if family in FAMILIES and not getattr(config, "conv_pos_batch_norm", False):
        return FAMILIES[family](loaded).eval()
    if not hasattr(config, "conv_kernel") or getattr(config, "add_adapter", False):
        raise SourceError(
            f"'{loaded.source.uri}' is a network of the kind '{family}', which cannot be staged for "
            f"sound. Expected one of {', '.join(FAMILIES)}, another one over waveforms, or one of pictures."
        )
    return Whole(loaded).eval()


def reference(loaded: Loaded, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What the untouched network says.

    Waveforms go through it one by one: in a batch a base model's features depend on the padding, which
    is what staging mends.
    """
    net: Any = loaded.module
    if loaded.config.get("library") != "transformers":
        return _pictures.reference(loaded, inputs)
    with torch.no_grad():
        if "mel" in inputs:
            said = net(inputs["mel"])
            pooled = getattr(said, "pooler_output", None)
            return {"positions": said.last_hidden_state} if pooled is None else {"pool": pooled}
        return {"positions": _alone(net, inputs["wave"], inputs[MASK])}


def _alone(net: Any, waves: Tensor, mask: Tensor) -> Tensor:
    """Last hidden states (N, L, width) by the library's own forward, zeros at the end; rows of unequal
    length one by one."""
    lengths = mask.sum(1)
    if bool((lengths == lengths[0]).all()):
        hidden: Tensor = net(waves[:, : int(lengths[0])]).last_hidden_state
        return hidden
    rows = zip(waves, lengths.tolist(), strict=True)
    heard = [net(wave[None, :length]).last_hidden_state[0] for wave, length in rows]
    return nn.utils.rnn.pad_sequence(heard, batch_first=True)
