"""A text encoder as transformers opens it, with the run's head beside it; or the run's low-rank updates."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from headstart.core import plugins
from headstart.core.network import MASK
from headstart.errors import BadRow, PackError
from headstart.registry import files
from headstart.serving import _written as written
from headstart.serving import peft as updates
from headstart.serving._written import HEAD, WEIGHTS, Given, Told

MODALITY = "text"
LENGTHS = (3, 9, 6, 12)  # tokens of the drawn texts
MOST_FIELDS = 2
TOKENIZER = "tokenizer_config.json"

_POOLED = {
    "mean": "(hidden * mask).sum(1) / mask.sum(1).clamp(min=1)",
    "mean_sqrt_len": "(hidden * mask).sum(1) / mask.sum(1).clamp(min=1).sqrt()",
    "max": "hidden.masked_fill(mask == 0, torch.finfo(hidden.dtype).min).amax(1)",
    "cls": "hidden[:, 0]",
    "last": "hidden[torch.arange(len(hidden)), mask[:, :, 0].sum(1).long() - 1]",
}
"""Our poolings as a person writes them; (N, L, width) and mask (N, L, 1) -> (N, width)."""


def transformers(given: Given, folder: Path) -> Told:
    """Writes encoder, tokenizer and pooling as transformers and sentence-transformers keep them, and the
    head.

    Raises:
        PackError: the network is none of text, or transformers' tokenizer reads texts otherwise.
    """
    from transformers import AutoModel

    network = _encoder(given)
    _beside(given, folder)
    written.tensors(folder / WEIGHTS, _state(network))
    _head(given, folder)
    texts, inputs = _probe(given)
    _same_tokens(given, folder, texts, inputs)
    again = AutoModel.from_pretrained(folder, local_files_only=True, **_options(network)).eval()
    worst = written.gap(_said(given, again, inputs, folder), given.outputs(inputs), "transformers")
    how = _how(given, f"AutoModel.from_pretrained(folder{_shown(network)})", "AutoModel, ")
    title = f"{type(network).__name__}, as transformers opens it, and a head"
    checked = (
        f"on {len(texts)} drawn texts: the tokens of the tokenizer, and the outputs of encoder and head that "
        "were loaded from this folder"
    )
    return Told(title, how, worst, checked)


def peft(given: Given, folder: Path) -> Told:
    """Writes the low-rank updates as the PEFT library opens them, tokenizer and head; not the base.

    Raises:
        PackError: the run was none with the strategy `lora`, or nobody could say how its base is opened.
    """
    network = _encoder(given)
    base = given.base or _name(given)
    plain = given.predictor.base
    updates.export(given.pack, plain, folder, base)
    _beside(given, folder)
    (folder / "config.json").unlink()  # it would pass for a whole model
    _head(given, folder)
    texts, inputs = _probe(given)
    inner, _ = updates.inner(plain)
    again, by = _adapted(inner, folder)
    worst = written.gap(_said(given, again, inputs, folder), given.outputs(inputs), "PEFT")
    opened = f'PeftModel.from_pretrained(AutoModel.from_pretrained("{base}"), folder)'
    how = "```console\n$ pip install 'headstart[peft]'\n```\n\n" + _how(
        given, opened, "AutoModel, ", "from peft import PeftModel\n"
    )
    title = f"Low-rank updates of {type(network).__name__}, as PEFT opens them, and a head"
    return Told(title, how, worst, f"on {len(texts)} drawn texts, {by}")


def _encoder(given: Given) -> Any:
    """The staged network of transformers. Raises PackError for any other, and for answers it cannot give."""
    backbone, pack = given.network.backbone, given.pack
    file = plugins.Modality(pack.modality).backbones
    told = getattr(file, "described", lambda found: None)(backbone) if _reads(given) else None
    if told is None:
        raise PackError(
            f"The run stands on a network of {given.loaded.config.get('library')} that reads {pack.modality} "
            "samples; expected a text encoder of transformers. Choose another form (--to), or use "
            "the pack itself."
        )
    if len(pack.fields) > MOST_FIELDS:
        names = ", ".join(f.name for f in pack.fields)
        raise PackError(
            f"The run reads {len(pack.fields)} texts at once ({names}); transformers' tokenizers take two at "
            "most. Use the pack itself."
        )
    return told[0]


def _reads(given: Given) -> bool:
    return given.pack.modality == MODALITY and given.loaded.config.get("library") == "transformers"


def _name(given: Given) -> str:
    """How transformers opens the base. Raises PackError where its URI does not tell."""
    scheme, _, rest = given.loaded.source.uri.partition(":")
    if scheme == "hf":
        return rest.partition("?")[0]
    raise PackError(
        f"'{given.loaded.source.uri}' is no name by which transformers opens the base, which the "
        "updates need. Say "
        "it: --base NAME of the hub, or a folder."
    )


def _state(network: Any) -> dict[str, Tensor]:
    """Tensors of a network; those that are one in several places once, as transformers saves them."""
    tied = {str(n) for n in getattr(network, "_tied_weights_keys", None) or ()}
    return {n: t for n, t in network.state_dict().items() if n not in tied}


def _beside(given: Given, folder: Path) -> None:
    """Configuration, tokenizer, pooling."""
    file = plugins.Modality(MODALITY).backbones
    made = dict(file.beside(given.network.backbone, given.predictor.transform))
    config, tokenizer = json.loads(made["config.json"]), json.loads(made[TOKENIZER])
    if given.classes:
        config["id2label"] = dict(enumerate(given.classes))
        config["label2id"] = {name: k for k, name in enumerate(given.classes)}
    types = ["token_type_ids"] * bool(given.predictor.transform.state().get("types"))
    tokenizer["model_input_names"] = ["input_ids", *types, "attention_mask"]
    made["config.json"] = json.dumps(config, indent=2) + "\n"
    made[TOKENIZER] = json.dumps(tokenizer, indent=2) + "\n"
    for name, text in made.items():
        with files.storing(folder):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write(folder / name, text.encode())


def _head(given: Given, folder: Path) -> None:
    weight, bias = given.linear()
    written.tensors(folder / HEAD, {"weight": weight, "bias": bias})


def _probe(given: Given) -> tuple[list[tuple[str, ...]], dict[str, Tensor]]:
    """Drawn texts, one or two a row, and what the run's own transform makes of them."""
    transform: Any = given.predictor.transform
    words = given.network.backbone.vocabulary
    if words is None:
        raise PackError("The network reads no tokens, so no texts can be compared.")
    draw = torch.Generator().manual_seed(0)
    usual = [k for k in range(words.size) if k not in words.special]
    texts, items = [], []
    for length in LENGTHS:
        row = tuple(
            _text(transform, usual, length + k, draw) for k in range(len(given.pack.fields))
        )
        sample = {field.name: text for field, text in zip(given.pack.fields, row, strict=True)}
        try:
            items.append(transform(sample))
        except BadRow:  # drawn tokens that are none of a text
            continue
        texts.append(row)
    if not texts:
        raise PackError("No text could be drawn from the tokenizer, so nothing could be compared.")
    return texts, dict(transform.collate(items))


def _text(transform: Any, usual: list[int], length: int, draw: torch.Generator) -> str:
    chosen = torch.randint(len(usual), (length,), generator=draw).tolist()
    return str(transform.tokenizer.decode([usual[k] for k in chosen]))


def _same_tokens(
    given: Given, folder: Path, texts: list[tuple[str, ...]], inputs: dict[str, Tensor]
) -> None:
    """Raises PackError unless transformers' tokenizer makes the same tokens of the texts."""
    from transformers import AutoTokenizer

    state = given.predictor.transform.state()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True)
    lower = bool(state["lower_case"])
    rows = [[t.lower() if lower else t for t in row] for row in texts]
    found = tokenizer(
        *(list(column) for column in zip(*rows, strict=True)),
        padding=True,
        truncation=True,
        max_length=int(state["max_length"]),
        return_tensors="pt",
    )
    for row, mask in enumerate(inputs[MASK]):
        expected = inputs["ids"][row][mask]
        came = found["input_ids"][row][found["attention_mask"][row].bool()]
        if not torch.equal(expected, came):
            raise PackError(
                "transformers' tokenizer reads a text otherwise than the run does "
                f"({came.tolist()} instead of {expected.tolist()}); nothing was written. Use the pack itself."
            )


def _said(given: Given, network: Any, inputs: dict[str, Tensor], folder: Path) -> Tensor:
    """Outputs of a network of transformers and the written head, as the README tells a person to."""
    state, head = given.predictor.transform.state(), load_file(folder / HEAD)
    types = {"token_type_ids": inputs["types"]} if "types" in inputs else {}
    with torch.inference_mode():
        hidden = network(
            input_ids=inputs["ids"], attention_mask=inputs[MASK].long(), **types
        ).last_hidden_state
        mask = inputs[MASK].unsqueeze(-1).to(hidden.dtype)
        file = plugins.Modality(MODALITY).backbones
        features = file.POOLINGS[str(state["pooling"])](hidden, mask[..., 0].bool())
        if state["normalise"]:
            features = nn.functional.normalize(features, dim=1)
        return (features @ head["weight"].T + head["bias"]).clone()


def _adapted(inner: nn.Module, folder: Path) -> tuple[Any, str]:
    """The base with the written updates, and how that was done: by PEFT itself where it is installed."""
    base = copy.deepcopy(inner).eval()
    if _installed():
        import peft as library

        found: Any = library.PeftModel.from_pretrained(base, str(folder))
        return (
            found.eval(),
            f"by the outputs of base, updates as PEFT {library.__version__} loads them, and head",
        )
    config = json.loads((folder / updates.CONFIG).read_text("utf-8"))
    held = load_file(folder / updates.TENSORS)
    with torch.no_grad():
        for name in config["target_modules"]:
            begin = f"{updates.BEGIN}{name}"
            down, up = held[f"{begin}.lora_A.weight"], held[f"{begin}.lora_B.weight"]
            base.get_submodule(name).weight.add_(up @ down)  # type: ignore[operator, union-attr]
    return base, "by the outputs of base, updates as PEFT's formula adds them, and head"


def _installed() -> bool:
    return importlib.util.find_spec("peft") is not None


def _options(network: Any) -> dict[str, bool]:
    """Leaves out a pooler that no weight was written for."""
    takes = "add_pooling_layer" in inspect.signature(type(network)).parameters
    return {"add_pooling_layer": False} if takes else {}


def _shown(network: Any) -> str:
    return "".join(f", {name}={value}" for name, value in _options(network).items())


def _how(given: Given, opened: str, names: str, more: str = "") -> str:
    """The runnable snippet of the README."""
    state = given.predictor.transform.state()
    pair = len(given.pack.fields) > 1
    features = _POOLED[str(state["pooling"])]
    if state["normalise"]:
        features = f"torch.nn.functional.normalize({features}, dim=1)"
    lower = "[t.lower() for t in {}]" if state["lower_case"] else "{}"
    given_texts = ", ".join(lower.format(n) for n in ("texts", "seconds")[: 1 + pair])
    last = {"classify": "logits.softmax(1)", "tag": "logits.sigmoid()", "regress": "logits[:, 0]"}
    return _SNIPPET.format(
        names=f"{names}AutoTokenizer",
        more=more,
        arguments="texts, seconds, folder" if pair else "texts, folder",
        opened=opened,
        given=given_texts,
        longest=int(state["max_length"]),
        features=features,
        last=last[given.pack.outcome],
        classes=_labels(given),
    )


def _labels(given: Given) -> str:
    if not given.classes:
        return "Numbers, (rows,), in the units of the training targets."
    order = ", ".join(f"`{name}`" for name in given.classes[:20])
    more = (
        f" and {len(given.classes) - 20} more (`id2label` of config.json)"
        if len(given.classes) > 20
        else ""
    )
    return f"Probabilities, (rows, {len(given.classes)}), in the order {order}{more}."


_SNIPPET = """```python
import torch
from safetensors.torch import load_file
from transformers import {names}
{more}

def predict({arguments}):
    tokenizer, model = AutoTokenizer.from_pretrained(folder), {opened}.eval()
    head = load_file(f"{{folder}}/head.safetensors")
    batch = tokenizer({given}, padding=True, truncation=True, max_length={longest}, return_tensors="pt")
    with torch.no_grad():
        hidden, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
        features = {features}
        logits = features @ head["weight"].T + head["bias"]
    return {last}
```

{classes}"""
