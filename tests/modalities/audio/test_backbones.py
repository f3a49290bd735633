"""Staged families, each from a folder as transformers saves it, through the suite of staged networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hub
from torch import nn

from headstart.core import plugins, staging
from headstart.core.dataset import Field
from headstart.core.source import Loaded
from headstart.errors import SourceError
from headstart.modalities.audio import backbones, batch
from headstart.providers import hf
from testing import _things, backbone
from tests.modalities.audio.sounds import RATE, encoded, tune

SMALL = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (8, 4, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
LAYER = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
WAVES = hub.Wav2Vec2FeatureExtractor(sampling_rate=RATE)


def _whisper() -> Any:
    config = hub.WhisperConfig(
        d_model=24,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_mel_bins=16,
        max_source_positions=50,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    return hub.WhisperModel(config)


def _ast() -> Any:
    config = hub.ASTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_length=64,
        num_mel_bins=32,
    )
    model = hub.ASTModel(config)
    for tensor in (model.embeddings.position_embeddings, model.embeddings.cls_token):
        nn.init.normal_(tensor)
    return model


FAMILIES: dict[str, tuple[Callable[[], Any], Any]] = {
    "wav2vec2": (lambda: hub.Wav2Vec2Model(hub.Wav2Vec2Config(**SMALL)), WAVES),
    "wav2vec2 large": (lambda: hub.Wav2Vec2Model(hub.Wav2Vec2Config(**SMALL, **LAYER)), WAVES),
    "hubert": (lambda: hub.HubertModel(hub.HubertConfig(**SMALL)), WAVES),
    "hubert large": (lambda: hub.HubertModel(hub.HubertConfig(**SMALL, **LAYER)), WAVES),
    "wavlm": (lambda: hub.WavLMModel(hub.WavLMConfig(**SMALL)), WAVES),
    "hubert, batch norm": (
        lambda: hub.HubertModel(hub.HubertConfig(**SMALL, conv_pos_batch_norm=True)),
        WAVES,
    ),
    "whisper": (_whisper, hub.WhisperFeatureExtractor(feature_size=16, chunk_length=1)),
    "ast": (_ast, hub.ASTFeatureExtractor(max_length=64, num_mel_bins=32)),
}
WHOLE = ("wavlm", "hubert, batch norm")


@cache
def saved(name: str) -> Path:
    """A folder with weights, configuration and the feature extractor's settings."""
    place = _things.folder() / name.replace(" ", "-")
    build, extractor = FAMILIES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        build().save_pretrained(place)
    extractor.save_pretrained(place)
    return place


def opened(name: str) -> Loaded:
    return hf.open(str(saved(name)), {}, offline=True)


@cache
def staged(name: str) -> _things.Staged:
    """As the suites stage it, on sounds of unequal length."""
    loaded = opened(name)
    made = batch.make(loaded.source.preprocessing, (Field("clip", "bytes"),), [])
    sounds = [{"clip": encoded(tune(s, seed=i))} for i, s in enumerate((0.3, 0.5, 0.21, 0.4, 0.7))]
    items = [made(s) for s in sounds]
    shapes = {n: t.shape for n, t in loaded.module.state_dict().items()}
    network = backbones.stage(loaded, made).eval()
    singles = [made.collate([i]) for i in items]
    parts = plugins.Modality("audio")
    return _things.Staged(parts, loaded, made, network, made.collate(items), singles, shapes)


@pytest.mark.parametrize(
    "check", [c for _, c in backbone.checks()], ids=[n for n, _ in backbone.checks()]
)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_the_contract(
    name: str, check: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "staged", staged)
    check(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_says_in_company_what_it_says_alone(name: str) -> None:
    """Also the families that run as one stage: rows of unequal length go through them one by one."""
    made = staged(name)
    with torch.no_grad():
        mixed = made.backbone.pool(made.backbone.run(made.inputs))
        alone = [made.backbone.pool(made.backbone.run(single)) for single in made.singles]
    assert _things.close(torch.cat(alone), mixed, backbone.ALONE)
    assert made.backbone.companions == (name not in WHOLE)
    assert len(made.backbone.stages) == (
        1 if name in WHOLE else 3 if name in ("whisper", "ast") else 4
    )


@pytest.mark.parametrize("name", ["wav2vec2", "hubert"])
def test_the_trap_is_there_and_mended(name: str) -> None:
    """The untouched base network moves a short row's features by much when a long one stands beside it."""
    made = staged(name)
    net: Any = made.loaded.module
    mask = made.inputs["mask"]
    with torch.no_grad():
        said = made.modality.backbones.reference(made.loaded, made.inputs)["positions"]
        padded = net(made.inputs["wave"]).last_hidden_state
        places, real = made.backbone.positions(made.backbone.run(made.inputs))
    shortest = int(mask.sum(1).argmin())
    here = real[shortest]
    scale = said[shortest][here].abs().max()
    assert (padded[shortest][here] - said[shortest][here]).abs().max() > 0.05 * scale
    assert (places[shortest][here] - said[shortest][here]).abs().max() < 1e-4 * scale


def test_networks_of_pictures_read_spectrograms() -> None:
    made = _things.staged("audio/builtin:formula")
    assert made.inputs["pixels"].shape[1:] == (3, 48, 48)
    with torch.no_grad():
        said = backbones.reference(made.loaded, made.inputs)
    staging.verify(made.backbone, said, made.inputs)
    assert made.loaded.rebuild is not None


def test_other_networks_are_refused() -> None:
    config = hub.Wav2Vec2Config(**SMALL, add_adapter=True)
    source = opened("wav2vec2").source
    facts = {"library": "transformers", "architecture": "wav2vec2"}
    with pytest.raises(SourceError, match="with an adapter"):
        backbones.stage(Loaded(source, hub.Wav2Vec2Model(config), facts, None))
    bert = plugins.Modality("text").tiny.loaded(0)
    with pytest.raises(SourceError, match="of the kind 'bert'"):
        backbones.stage(bert)
