"""Text networks as stages: embeddings, then one stage per transformer layer.

BERT (arXiv:1810.04805), RoBERTa (arXiv:1907.11692), DistilBERT (arXiv:1910.01108), MPNet
(arXiv:2004.09297) and GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019)
are staged; any other encoder of transformers runs as one stage.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headstart.core.modality import Transform
from headstart.core.network import MASK, Backbone, State, Vocabulary
from headstart.core.source import Loaded
from headstart.errors import ContractError, SourceError
from headstart.modalities.text import _small, _tokens
from headstart.modalities.text._small import beside, build
from headstart.modalities.text._windows import WINDOWS, each_apart

__all__ = ["ARCHITECTURES", "DEFAULT", "beside", "build", "described", "reference", "stage"]

ARCHITECTURES = _small.NAMES
DEFAULT = {"architecture": "bert"}

LAYERS = {
    "bert": "encoder.layer",
    "roberta": "encoder.layer",
    "xlm-roberta": "encoder.layer",
    "camembert": "encoder.layer",
    "distilbert": "transformer.layer",
    "mpnet": "encoder.layer",
}
"""Where a family keeps its layers, by transformers' `model_type`."""

HIDDEN = "hidden"
STARTS = "starts"  # (N, L), how many words that carry labels are read at each token


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0)


def _mean_sqrt(hidden: Tensor, mask: Tensor) -> Tensor:
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1.0).sqrt()


def _max(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden.masked_fill(~mask.unsqueeze(-1), torch.finfo(hidden.dtype).min).amax(1)


def _first(hidden: Tensor, mask: Tensor) -> Tensor:
    return hidden[:, 0]


def _last(hidden: Tensor, mask: Tensor) -> Tensor:
    place = mask.sum(1).clamp(min=1) - 1
    return hidden[torch.arange(len(hidden), device=hidden.device), place]


POOLINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "mean_sqrt_len": _mean_sqrt,
    "max": _max,
    "cls": _first,
    "last": _last,
}
"""(N, L, D) and mask (N, L) -> (N, D); Sentence-BERT (arXiv:1908.10084) compares the first three."""


class _Text(Backbone):
    """What staged and unstaged encoders share: pooling, and positions as the last hidden states."""

    ragged = (HIDDEN, STARTS, WINDOWS)
    apart = WINDOWS

    def __init__(self, loaded: Loaded) -> None:
        super().__init__()
        pooling = str(loaded.source.preprocessing.get("pooling", "mean"))
        if pooling not in POOLINGS:
            raise SourceError(
                f"The source asks for the pooling '{pooling}'; known are {', '.join(POOLINGS)}. "
                "Say which to use: ?pooling=mean."
            )
        self.pooling = pooling
        self.normalise = bool(loaded.source.preprocessing.get("normalise", False))
        self.network = loaded.module
        self.width = int(_hidden_size(loaded))
        self._sealed = loaded.source.preprocessing

    def run(self, state: Mapping[str, Tensor], start: int = 0, stop: int | None = None) -> State:
        """Inputs {"ids", "mask"[, "types"]} or a state in, state out; windows of a long text each alone."""
        end = len(self.stages) if stop is None else stop
        if end <= start:
            return dict(state)
        if WINDOWS not in state or not state[WINDOWS].any():
            hidden = self.through(state, start, end)
        else:
            hidden = each_apart(lambda one: self.through(one, start, end), state)
        return {HIDDEN: hidden, **_marks(state)}

    def through(self, state: Mapping[str, Tensor], start: int, end: int) -> Tensor:
        """Hidden states (N, L, width) after the stages from `start` to `end`, at least one."""
        raise ContractError(f"{type(self).__name__} has no through().")

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The tokens of the source's own tokenizer."""
        network: Any = self.network
        table = network.get_input_embeddings().weight
        name = next(n for n, p in self.named_parameters() if p is table)
        text, pad = str(self._sealed["tokenizer_json"]), int(self._sealed.get("pad_id", 0))
        return _tokens.known(text, name, self.onward(), pad)

    def onward(self) -> bool:
        """Whether a token sees only itself and what stands before it."""
        return False

    def pool(self, state: Mapping[str, Tensor]) -> Tensor:
        """hidden (N, L, width) -> (N, width), of unit length where the source says so."""
        pooled = POOLINGS[self.pooling](state[HIDDEN], state[MASK])
        return nn.functional.normalize(pooled, dim=1) if self.normalise else pooled

    def positions(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Last hidden states (N, L, width) and mask (N, L): one place a token."""
        return state[HIDDEN], state[MASK]

    def units(self, state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Last hidden states of each word's first token (N, U, width) and mask (N, U); of all tokens where
        no words carry labels."""
        if STARTS not in state:
            return self.positions(state)
        starts = state[STARTS].long()
        counts = starts.sum(1)
        longest = max(1, int(counts.max()))
        mask = torch.arange(longest, device=starts.device)[None] < counts[:, None]
        read = state[HIDDEN].flatten(0, 1).repeat_interleave(starts.flatten(), dim=0)
        hidden = read.new_zeros((*mask.shape, self.width))
        hidden[mask] = read
        return hidden, mask


def _marks(state: Mapping[str, Tensor]) -> State:
    """What of a state goes through all stages as it is."""
    return {name: state[name] for name in (MASK, STARTS, WINDOWS) if name in state}


class Layered(_Text):
    """A family of `LAYERS`; stage 0 is the embeddings, stage k the k-th layer.

    State: {"hidden": (N, L, width), "mask": (N, L) bool}, "starts" and "windows" as they came. The attention
    mask and MPNet's relative position bias are rebuilt at every call, so that a kept state holds neither.
    """

    attends = HIDDEN

    def __init__(self, loaded: Loaded, family: str) -> None:
        super().__init__(loaded)
        self.family = family
        self._path = LAYERS[family]
        count = len(self._layers())
        self.stages = ("embeddings", *(f"layer.{i}" for i in range(count)))
        self._wants_types = family not in ("distilbert", "mpnet")

    def _layers(self) -> nn.ModuleList:
        return self.network.get_submodule(self._path)  # type: ignore[return-value]

    def through(self, state: Mapping[str, Tensor], start: int, end: int) -> Tensor:
        mask = state[MASK]
        hidden = self._embed(state) if start == 0 else state[HIDDEN]
        extra = self._extra(hidden)
        attention = self._attention(mask, hidden.dtype)
        for layer in self._layers()[max(start, 1) - 1 : end - 1]:
            output = layer(hidden, attention, **extra)
            hidden = output[0] if isinstance(output, tuple) else output
        return hidden

    def _embed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        types = (
            {"token_type_ids": inputs["types"]} if "types" in inputs and self._wants_types else {}
        )
        embeddings: Any = self.network.embeddings
        hidden: Tensor = embeddings(input_ids=inputs["ids"], **types)
        return hidden

    def _extra(self, hidden: Tensor) -> dict[str, Tensor]:
        """MPNet's bias (N, heads, L, L), a function of the length alone."""
        if self.family != "mpnet":
            return {}
        encoder: Any = self.network.encoder
        return {"position_bias": encoder.compute_position_bias(hidden)}

    def _attention(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """(N, 1, 1, L): which keys may be read; boolean for fused attention, else to be added.

        It is given even where nothing is padded, so that a traced network keeps it.
        """
        keys = mask[:, None, None, :]
        config: Any = self.network.config
        if self.family != "mpnet" and config._attn_implementation == "sdpa":
            return keys
        return (~keys).to(dtype) * torch.finfo(dtype).min

    def stage_of(self, name: str) -> int:
        """Embeddings 0, layer k: k + 1; MPNet's shared bias belongs to the first layer it acts in."""
        found = re.search(rf"network\.{re.escape(self._path)}\.(\d+)\.", name)
        if found:
            return int(found.group(1)) + 1
        if name.startswith("network.embeddings."):
            return 0
        if name.startswith("network.encoder.relative_attention_bias."):
            return 1
        return len(self.stages) - 1


class Causal(_Text):
    """GPT-2: a token sees itself and what stands before it, never what follows.

    Stages: the embeddings of tokens and places, one a layer, and the last norm. State: {"hidden":
    (N, L, width), "mask": (N, L) bool}. Padding stands at the end, so no real token sees it and the causal
    mask is enough; positions count from the first token. Pooling is the source's choice as for every text
    network: the mean over all real tokens unless it says "last", the only token that has seen them all.
    Its layers are transformers' own `Conv1D`, which no adapter wraps.
    """

    attends = HIDDEN

    def __init__(self, loaded: Loaded) -> None:
        super().__init__(loaded)
        count = len(self.network.get_submodule("h"))  # type: ignore[arg-type]
        self.stages = ("embeddings", *(f"layer.{i}" for i in range(count)), "norm")

    def onward(self) -> bool:
        return True

    def through(self, state: Mapping[str, Tensor], start: int, end: int) -> Tensor:
        network: Any = self.network
        hidden = self._embed(state["ids"]) if start == 0 else state[HIDDEN]
        seen = self._seen(hidden)
        last = len(self.stages) - 1
        for layer in network.h[max(start, 1) - 1 : min(end, last) - 1]:
            output = layer(hidden, attention_mask=seen)
            hidden = output[0] if isinstance(output, tuple) else output
        if end > last:
            hidden = network.ln_f(hidden)
        return hidden

    def _embed(self, ids: Tensor) -> Tensor:
        network: Any = self.network
        places = torch.arange(ids.shape[1], device=ids.device)
        hidden: Tensor = network.drop(network.wte(ids) + network.wpe(places)[None])
        return hidden

    def _seen(self, hidden: Tensor) -> Tensor:
        """(1, 1, L, L): which key each query may read; boolean for fused attention, else to be added."""
        places = torch.arange(hidden.shape[1], device=hidden.device)
        seen = (places[:, None] >= places[None, :])[None, None]
        config: Any = self.network.config
        if config._attn_implementation == "sdpa":
            return seen
        return (~seen).to(hidden.dtype) * torch.finfo(hidden.dtype).min

    def stage_of(self, name: str) -> int:
        """Embeddings 0, layer k: k + 1, the norm last."""
        found = re.search(r"network\.h\.(\d+)\.", name)
        if found:
            return int(found.group(1)) + 1
        return 0 if name.startswith(("network.wte.", "network.wpe.")) else len(self.stages) - 1


class Whole(_Text):
    """An encoder that nobody has staged: one stage, equal-length batches."""

    stages = ("encoder",)
    companions = False

    def onward(self) -> bool:
        """Found by trying: whether the first token changes with the last."""
        where = next(self.parameters()).device
        ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]], device=where)
        training = self.network.training
        with torch.no_grad():
            self.network.eval()
            first = self.through({"ids": ids, MASK: torch.ones_like(ids, dtype=torch.bool)}, 0, 1)
            self.network.train(training)
        return bool(torch.equal(first[0, 0], first[1, 0]))

    def through(self, state: Mapping[str, Tensor], start: int, end: int) -> Tensor:
        return _last_hidden(self.network, state)

    def stage_of(self, name: str) -> int:
        """0: there is one stage."""
        return 0


def _hidden_size(loaded: Loaded) -> int:
    config: Any = getattr(loaded.module, "config", None)
    for name in ("hidden_size", "dim", "d_model"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    raise SourceError(
        f"'{loaded.source.uri}' does not say how wide its hidden states are, so it cannot read text. "
        "Choose a text encoder, such as builtin:minilm."
    )


def _last_hidden(module: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """(N, L, D) from the library's own forward."""
    types = {"token_type_ids": inputs["types"]} if "types" in inputs else {}
    output = module(input_ids=inputs["ids"], attention_mask=inputs[MASK].long(), **types)
    hidden: Tensor = output.last_hidden_state
    return hidden


def stage(loaded: Loaded, transform: Transform | None = None) -> Backbone:
    """The staged network.

    Raises:
        SourceError: the network does not read token numbers.
    """
    if isinstance(loaded.module, nn.Identity) and transform is not None:
        loaded = _small.drawn(loaded, transform)
    if loaded.config.get("library") != "transformers":
        raise SourceError(
            f"'{loaded.source.uri}' is a network of {loaded.config.get('library')}, which cannot read "
            "text. Choose a text source, such as builtin:minilm."
        )
    config: Any = getattr(loaded.module, "config", None)
    family = str(loaded.config.get("architecture", ""))
    if family in LAYERS and not getattr(config, "is_decoder", False):
        return Layered(loaded, family)
    if family == "gpt2" and not getattr(config, "add_cross_attention", False):
        return Causal(loaded)
    return Whole(loaded)


def reference(loaded: Loaded, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """{"positions": (N, L, width)} by the library's own forward of the untouched network; {} of a new one."""
    if isinstance(loaded.module, nn.Identity):  # a new network, of which there is no untouched one
        return {}
    if MASK not in inputs:
        raise ContractError(f"Text inputs need 'mask'; got {', '.join(inputs)}.")
    with torch.no_grad():
        if WINDOWS not in inputs:
            return {"positions": _last_hidden(loaded.module, inputs)}
        return {"positions": each_apart(lambda one: _last_hidden(loaded.module, one), inputs)}


def described(backbone: Backbone) -> tuple[nn.Module, dict[str, Any]] | None:
    """The network, whose configuration `beside` keeps; None where transformers could not read it back, as of
    one half of an encoder-decoder."""
    network: Any = getattr(backbone, "network", None)
    if network is None or network.config.is_encoder_decoder:
        return None
    return network, {"architecture": str(network.config.model_type), "library": "transformers"}
