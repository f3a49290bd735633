"""Transformers encoders: `hf:NAME` from the Hugging Face hub, or `hf:FOLDER` from a local folder.

Only safetensors are read: a pickle can run code when it is opened. Code that comes with a model is never
run. A hub name is looked up in the local cache first where the network is forbidden.

Settings: `max_length` (tokens), `pooling` (mean, cls, max, mean_sqrt_len, last), `normalise`
(true, false), `revision` (branch, tag or commit of the hub); for networks that read no token numbers
`seconds` (longest excerpt), and what prepares their inputs is their feature extractor's own settings.
"""

# ruff: noqa: E402 - the environment must be set before the libraries are imported
from __future__ import annotations

import copy
import inspect
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

for _name in ("HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DISABLE_SAFETENSORS_CONVERSION"):
    os.environ.setdefault(_name, "1")  # read by the libraries when they are imported

import torch
from huggingface_hub import errors as hub
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging

from headstart.core import digest, machine
from headstart.core.source import Loaded
from headstart.errors import DamagedError, OfflineError, PlanError, SourceError
from headstart.providers import _cards as cards
from headstart.providers import _inputs as inputs

SETTINGS = ("max_length", "normalise", "pooling", "revision", "seconds")
WANTED = ["*.json", "*.txt", "*.model", "*.safetensors", "README.md"]
UNWANTED = [
    "onnx/*",
    "openvino/*",
    "coreml/*",
    "*.bin",
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.pkl",
    "*.pt",
]
PICKLES = (
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.pt",
    "model.pkl",
    "model.ckpt",
)
UNREAD = ("masked_spec_embed",)
"""Read while a source is pretrained only; published weights lack it, so it is set to zero."""
VOCABULARIES = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")
NUMBERS = ("past_values",)
"""Inputs, as the library names them, that need no tokenizer."""
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")

_HUB_NAME = re.compile(r"^[\w.-]+(/[\w.-]+)?$")
_POOLINGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_lasttoken": "last",
}


def open(
    reference: str,
    settings: Mapping[str, str],
    *,
    offline: bool,
    entry: Mapping[str, Any] | None = None,
) -> Loaded:
    """Loads an encoder from a folder, the hub's local cache, or the hub.

    Args:
        reference: a local folder, or a hub name ("sentence-transformers/all-MiniLM-L6-v2").
        settings: see the module's docstring.
        offline: whether the network is forbidden; the environment may forbid it too.
        entry: the catalogue's entry, whose facts overrule the model card's; its "sha256" is checked. So is
            that of a folder that `headstart pretrain` made.

    Raises:
        OfflineError: a hub name that is not in the local cache, while the network is forbidden.
        SourceError: no such model, damaged weights, pickles only, or a model that needs its own code.
        PlanError: an unknown setting.
    """
    inputs.known(settings, SETTINGS)
    folder, revision = _folder(reference, settings.get("revision", ""), offline=offline)
    entry = {**cards.document(folder), **(entry or {})}
    checked = _check_weights(folder, str(entry.get("sha256", "")))
    config = _config(folder)
    module = _load(folder, config)
    name = folder.name if folder.exists() and revision == "" else reference
    return inputs.document(
        str(entry.get("uri", f"hf:{reference}")),
        module,
        library="transformers",
        family=str(config.model_type),
        facts={"name": name, "revision": revision, **cards.read(folder), **entry},
        preprocessing=_preprocessing(folder, config, settings),
        rebuild=_rebuilder(module),
        config={"configuration": json.loads(config.to_json_string(use_diff=False))},
        checked=checked,
    )


# --- where it lies


def _folder(reference: str, revision: str, *, offline: bool) -> tuple[Path, str]:
    """Folder of the model's files, and the hub's commit ("" for a local folder)."""
    local = Path(reference).expanduser()
    if local.is_dir():
        return local, ""
    if not _HUB_NAME.match(reference) or reference.startswith("."):
        raise SourceError(
            f"There is no folder '{reference}'. Give a folder with config.json and model.safetensors, "
            "or a hub name such as hf:sentence-transformers/all-MiniLM-L6-v2."
        )
    forbidden = machine.forbidden(offline, *OFFLINE)
    with _quiet():
        try:
            path = snapshot_download(
                reference,
                revision=revision or None,
                allow_patterns=WANTED,
                ignore_patterns=UNWANTED,
                local_files_only=bool(forbidden),
            )
        except Exception as error:  # the hub's errors share no base class
            raise _worded(error, reference, revision, forbidden) from error
    return Path(path), Path(path).name


def _worded(error: Exception, reference: str, revision: str, forbidden: str) -> SourceError:
    """The hub's error in plain words."""
    instead = (
        "Use a built-in source, which needs no network (see: headstart sources), or hf:FOLDER with a "
        "folder that you copied here"
    )
    if forbidden:
        return OfflineError(
            f"'{reference}' is not on this machine, and {forbidden} forbids the network. {instead}."
        )
    if isinstance(error, hub.GatedRepoError):
        return SourceError(
            f"The hub gives '{reference}' only to people who accepted its terms. Accept them on the "
            f"hub's page of the model and log in with 'hf auth login'. Otherwise: {instead}."
        )
    if isinstance(error, hub.RepositoryNotFoundError):
        return SourceError(
            f"The hub knows no model '{reference}'. Check the spelling (OWNER/NAME). {instead}."
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return SourceError(f"'{reference}' has no revision '{revision}'. Leave out ?revision=.")
    if isinstance(error, hub.HFValidationError):
        return SourceError(f"'{reference}' is no hub name: {error}. {instead}.")
    return SourceError(
        f"The hub could not be reached for '{reference}' ({type(error).__name__}). Check the network, "
        f"or work without it: {instead}."
    )


# --- what it is


def _check_weights(folder: Path, expected: str) -> tuple[str, ...]:
    """Refuses pickles, damaged files, and a file that is not the catalogued one; says what was compared."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickles = [n for n in PICKLES if (folder / n).exists()]
        if pickles:
            raise SourceError(
                f"{folder} holds weights only as a pickle ({pickles[0]}), which could run code when "
                "opened, so it is refused. Look for a revision with model.safetensors, or convert it "
                "where nothing can be harmed (a container without network): "
                "safetensors.torch.save_file(torch.load(PATH, weights_only=True), 'model.safetensors')."
            )
        raise SourceError(
            f"{folder} holds no weights. Expected model.safetensors beside config.json."
        )
    for file in files:
        try:
            with safe_open(file, framework="pt") as handle:
                handle.keys()
        except (SafetensorError, OSError) as error:
            raise DamagedError(
                f"The weights {file} are damaged or cut short ({error}). Fetch or copy them again."
            ) from error
    if re.fullmatch(r"[0-9a-f]{64}", expected) and len(files) == 1:
        found = digest.file(files[0])
        if found != expected:
            raise DamagedError(
                f"The weights {files[0]} are not the catalogued ones: SHA-256 {found[:12]}... instead "
                f"of {expected[:12]}.... Fetch or install them again, or copy them without the document that "
                "describes them to load them as they are."
            )
        return (f"{files[0].name}: SHA-256 as in the catalogue",)
    return ()


def _config(folder: Path) -> PreTrainedConfig:
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{folder} has no config.json; its architecture is not known.") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}. Fetch it again.") from error
    kind = str(raw.get("model_type", ""))
    if kind not in CONFIG_MAPPING:
        own = " It brings its own code, which is never run." if "auto_map" in raw else ""
        raise SourceError(
            f"{folder} has the architecture '{kind or 'none given'}', which transformers does not know."
            f"{own} Choose a BERT, RoBERTa, DistilBERT or MPNet encoder, such as builtin:minilm."
        )
    config: PreTrainedConfig = AutoConfig.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    known = type(config) in MODEL_MAPPING
    if not known or not (_reads_tokens(config) or _numbers(config) or _processor(folder)):
        raise SourceError(
            f"{folder} ({kind}) reads no text, and no preprocessor_config.json says what else it reads. "
            "Images are read by timm: sources; for text choose builtin:minilm."
        )
    return config


def _reads_tokens(config: PreTrainedConfig) -> bool:
    """Whether the network reads token numbers, and not waveforms, spectrograms or pixels."""
    tokens = isinstance(getattr(config, "vocab_size", None), int)
    return tokens and MODEL_MAPPING[type(config)].main_input_name == "input_ids"


def _processor(folder: Path) -> dict[str, Any]:
    """Settings of the feature extractor of a network that reads no token numbers; {} where none is."""
    said = _json(folder / "preprocessor_config.json") or _json(folder / "processor_config.json")
    return dict(said.get("feature_extractor", said))


def _numbers(config: PreTrainedConfig) -> bool:
    """Whether the network reads numbers over time, not tokens and no pictures."""
    return str(MODEL_MAPPING[type(config)].main_input_name) in NUMBERS


def _load(folder: Path, config: PreTrainedConfig) -> Any:
    """The encoder in fp32 and eval mode, without pooler; every weight from the file."""
    kind: Any = MODEL_MAPPING[type(config)]
    with _quiet():
        try:
            module, report = kind.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **_no_pooler(kind),
            )
        except (OSError, ValueError, RuntimeError, SafetensorError, KeyError) as error:
            raise SourceError(f"The weights in {folder} do not fit config.json: {error}") from error
    with torch.no_grad():
        for name in (n for n in report["missing_keys"] if n.endswith(UNREAD)):
            module.get_parameter(name).zero_()
    lacking = {*report["missing_keys"], *(m[0] for m in report["mismatched_keys"])}
    lacking = sorted(n for n in lacking if not n.endswith(UNREAD))
    if lacking:
        raise SourceError(
            f"The weights in {folder} lack {len(lacking)} tensors that config.json asks for, such as "
            f"'{lacking[0]}'; they would be random. Fetch weights and config.json of one model."
        )
    if any(not bool(torch.isfinite(p).all()) for p in module.parameters()):
        raise SourceError(f"The weights in {folder} contain NaN or infinity. Fetch them again.")
    return _encoder(module).eval()


def _encoder(module: Any) -> Any:
    """The encoder of an encoder-decoder, or the module itself."""
    return module.get_encoder() if module.config.is_encoder_decoder else module


def _no_pooler(kind: type) -> dict[str, bool]:
    """Leaves out BERT's pooler, which only next-sentence prediction trained and nothing here reads."""
    return (
        {"add_pooling_layer": False}
        if "add_pooling_layer" in inspect.signature(kind).parameters
        else {}
    )


def _rebuilder(module: Any) -> Callable[[int], Any]:
    config, kind = copy.deepcopy(module.config), type(module)

    def rebuild(seed: int) -> Any:
        """The same architecture with fresh weights; the caller's random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return kind(copy.deepcopy(config), **_no_pooler(kind)).float().eval()

    return rebuild


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no notes on unused weights of the libraries; ours are worded above."""
    library: Any = logging
    level, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()


# --- what comes with it


def _preprocessing(
    folder: Path, config: PreTrainedConfig, settings: Mapping[str, str]
) -> dict[str, Any]:
    """What a modality's `batch.make` reads, sealed as plain values: tokenizer and pooling, settings of the
    feature extractor, or the configuration of a network that reads numbers."""
    if _numbers(config):
        return {"configuration": json.loads(config.to_json_string(use_diff=False))}
    if not _reads_tokens(config):
        seconds = {"seconds": _seconds(settings["seconds"])} if "seconds" in settings else {}
        return {"processor": _processor(folder), **seconds}
    pooling, normalise = _pooling(folder)
    sentence = _json(folder / "sentence_bert_config.json")
    longest = _longest(folder, config)
    limit = int(sentence.get("max_seq_length") or longest)
    if "max_length" in settings:
        limit = _number(settings["max_length"], longest)
    tokenizer = _tokenizer_json(folder, config)
    pad = config.pad_token_id
    return {
        "tokenizer_json": tokenizer,
        "max_length": min(limit, longest),
        "pooling": settings.get("pooling", pooling),
        "normalise": _boolean(settings["normalise"]) if "normalise" in settings else normalise,
        "pad_id": int(pad) if isinstance(pad, int) else 0,
        "types": int(getattr(config, "type_vocab_size", 0) or 0) > 1,
        "lower_case": bool(sentence.get("do_lower_case", False)),
    }


def _pooling(folder: Path) -> tuple[str, bool]:
    """Pooling and normalisation of a sentence-transformers folder; the mean of the tokens otherwise."""
    says = _json(folder / "1_Pooling" / "config.json")
    named = [name for key, name in _POOLINGS.items() if says.get(key)]
    if len(named) > 1:
        raise SourceError(
            f"{folder} joins several poolings ({', '.join(named)}), which is not supported. Choose one: "
            f"?pooling={named[0]}."
        )
    pooling = named[0] if named else str(says.get("pooling_mode", "mean"))
    modules = _json(folder / "modules.json")
    kinds = [str(m.get("type", "")) for m in modules] if isinstance(modules, list) else []
    if any(k.endswith(".Dense") for k in kinds):
        # The projection trained with the encoder is left out: what remains are the encoder's features.
        return pooling, False
    return pooling, any(k.endswith(".Normalize") for k in kinds)


def _longest(folder: Path, config: PreTrainedConfig) -> int:
    """Most tokens that the position embeddings allow; 512 where nothing limits them."""
    places = getattr(config, "max_position_embeddings", None)
    limit = int(places) if isinstance(places, int) and places > 0 else 512
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        limit -= 2  # their positions start behind the padding's number
    says = _json(folder / "tokenizer_config.json").get("model_max_length")
    return min(limit, int(says)) if isinstance(says, (int, float)) and 0 < says < 1e6 else limit


def _number(text: str, longest: int) -> int:
    if not text.isdigit() or not 2 < int(text) <= longest:
        raise PlanError(f"max_length came as '{text}'; expected a number from 3 to {longest}.")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 3600:
        raise PlanError(f"seconds came as '{text}'; expected a number above 0 and below 3600.")
    return seconds


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise PlanError(f"normalise came as '{text}'; expected true or false.")
    return text.lower() in ("true", "1")


def _tokenizer_json(folder: Path, config: PreTrainedConfig) -> str:
    """The fast tokenizer as JSON text, converted from older files where there is no tokenizer.json.

    Raises:
        SourceError: none, a broken one, or one with more tokens than the network has embeddings.
    """
    path = folder / "tokenizer.json"
    text = path.read_text("utf-8") if path.is_file() else _converted(folder)
    try:
        tokens = Tokenizer.from_str(text).get_vocab()
    except Exception as error:  # the library raises bare Exception for text it cannot read
        raise SourceError(
            f"The tokenizer of {folder} cannot be read ({error}). Fetch it again."
        ) from error
    if max(tokens.values(), default=0) >= int(config.vocab_size):
        raise SourceError(
            f"The tokenizer of {folder} knows more tokens ({len(tokens)}) than the network has "
            f"embeddings ({config.vocab_size}). Fetch tokenizer and weights of one model."
        )
    return text


def _converted(folder: Path) -> str:
    """From vocabulary files; without any the library would make an empty tokenizer."""
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise SourceError(
            f"{folder} has no tokenizer.json and no vocabulary ({', '.join(VOCABULARIES)}), so no text "
            "can be read. Copy the tokenizer's files beside the weights."
        )
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_fast=True
            )
        return str(tokenizer.backend_tokenizer.to_str())
    except Exception as error:  # conversion fails in many ways, one of them a missing library
        raise SourceError(
            f"{folder} has no tokenizer.json, and none could be made from its other files ({error})."
        ) from error


def _json(path: Path) -> Any:
    """A small JSON file; {} where there is none or it is broken."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
