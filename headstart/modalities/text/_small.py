"""New networks of a person's own texts: a small BERT or GPT-2, drawn when its tokenizer is made."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from headstart.core.modality import Transform
from headstart.core.network import Backbone
from headstart.core.source import Loaded
from headstart.errors import PlanError, nearest
from headstart.modalities.text import _tokens

SHAPE = {
    "layers": 4,
    "width": 128,
    "heads": 4,
    "vocabulary": 4000,
    "max_length": 128,
    "dropout": 10,
}
"""`dropout` is in percent."""
LEAST = {"layers": 1, "width": 4, "heads": 1, "vocabulary": 300, "max_length": 8, "dropout": 0}
MOST_DROPPED = 90
NAMES = tuple(_tokens.MARKS)
POOLED = {
    "cls": "cls_token",
    "mean": "mean_tokens",
    "max": "max_tokens",
    "mean_sqrt_len": "mean_sqrt_len_tokens",
    "last": "lasttoken",
}
"""Our poolings, as sentence-transformers calls them."""
MODULES = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}


def build(card: Mapping[str, Any]) -> tuple[Callable[[int], nn.Module], dict[str, Any]] | None:
    """Nothing yet, and what `batch.make` and `draw` make tokenizer and network of; None for what is no new
    network of `NAMES`.

    Raises:
        PlanError: an unknown setting, or a number that cannot be.
    """
    if card.get("architecture") not in NAMES or "arguments" in card:
        return None
    asked = {k: v for k, v in card.items() if k != "architecture"}
    for key, value in asked.items():
        if key not in SHAPE:
            raise PlanError(
                f"A new {card['architecture']} has no setting '{key}'. {nearest(key, SHAPE)}"
            )
        if not str(value).isdigit() or int(value) < LEAST[key]:
            raise PlanError(f"{key} came as '{value}'; expected a number from {LEAST[key]} up.")
    shape = {**SHAPE, **{k: int(v) for k, v in asked.items()}}
    if shape["dropout"] > MOST_DROPPED:
        raise PlanError(
            f"dropout={shape['dropout']} came; expected percent, {MOST_DROPPED} at most."
        )
    if shape["width"] % shape["heads"]:
        raise PlanError(
            f"width={shape['width']} cannot be shared among heads={shape['heads']}. Choose a multiple of it."
        )
    sealed = {
        "family": str(card["architecture"]),
        "shape": shape,
        "vocabulary": shape["vocabulary"],
        "max_length": shape["max_length"],
        "pooling": "mean",
        "normalise": False,
        "pad_id": 0,
        "types": card["architecture"] == "bert",
    }
    return (lambda seed: nn.Identity()), sealed


def drawn(loaded: Loaded, transform: Transform) -> Loaded:
    """The network that `build` put off, with the tokens of the transform and random weights."""
    sealed = dict(loaded.source.preprocessing)
    text = str(transform.state()["tokenizer_json"])
    from transformers import BertModel, GPT2Model

    family, seed = str(sealed["family"]), int(loaded.config.get("seed", 0))
    config = _config(family, sealed["shape"], len(json.loads(text)["model"]["vocab"]))

    def rebuild(number: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
            torch.manual_seed(number)
            if family == "gpt2":
                return GPT2Model(config).eval()
            return BertModel(config, add_pooling_layer=False).eval()

    source = dataclasses.replace(loaded.source, preprocessing={**sealed, "tokenizer_json": text})
    facts = {**loaded.config, "library": "transformers", "architecture": family}
    return Loaded(source, rebuild(seed), facts, rebuild)


def _config(family: str, shape: Mapping[str, int], tokens: int) -> Any:
    from transformers import BertConfig, GPT2Config

    share = shape["dropout"] / 100
    if family == "gpt2":
        return GPT2Config(
            vocab_size=tokens,
            n_embd=shape["width"],
            n_layer=shape["layers"],
            n_head=shape["heads"],
            n_positions=shape["max_length"],
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
            embd_pdrop=share,
            attn_pdrop=share,
            resid_pdrop=share,
        )
    return BertConfig(
        vocab_size=tokens,
        hidden_size=shape["width"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        intermediate_size=4 * shape["width"],
        max_position_embeddings=shape["max_length"],
        pad_token_id=0,
        hidden_dropout_prob=share,
        attention_probs_dropout_prob=share,
    )


def beside(backbone: Backbone, transform: Transform) -> dict[str, str]:
    """What transformers and sentence-transformers need beside the weights: configuration, tokenizer, length
    and pooling, by file name."""
    network: Any = backbone.network
    state, config = transform.state(), json.loads(network.config.to_json_string())
    longest = int(state["max_length"])
    kinds = [k for k in MODULES if k != "Normalize" or state["normalise"]]
    modules = [
        {"idx": n, "name": str(n), "path": MODULES[k], "type": f"sentence_transformers.models.{k}"}
        for n, k in enumerate(kinds)
    ]
    pooling = {
        "word_embedding_dimension": backbone.width,
        **{f"pooling_mode_{name}": False for name in POOLED.values()},
        f"pooling_mode_{POOLED[str(state['pooling'])]}": True,
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": longest,
        **_tokens.roles(state["tokenizer_json"]),
    }
    made = {
        "config.json": {**config, "architectures": [type(network).__name__]},
        "tokenizer_config.json": tokenizer,
        "sentence_bert_config.json": {
            "max_seq_length": longest,
            "do_lower_case": bool(state["lower_case"]),
        },
        "modules.json": modules,
        "1_Pooling/config.json": pooling,
    }
    texts = {name: json.dumps(value, indent=2) + "\n" for name, value in made.items()}
    return {**texts, "tokenizer.json": str(state["tokenizer_json"])}
