"""Staged families against their untouched networks; pooling as sentence-transformers defines it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    GPT2Config,
    GPT2Model,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
)

from headstart.core import staging
from headstart.core.source import Loaded
from headstart.errors import ContractError, SourceError
from headstart.modalities.text import backbones, tiny

SMALL = {
    "vocab_size": 90,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
CAUSAL = {"vocab_size": 90, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 40}
DISTIL = {
    "vocab_size": 90,
    "dim": 16,
    "n_layers": 3,
    "n_heads": 2,
    "hidden_dim": 24,
    "max_position_embeddings": 40,
}
FAMILIES = {
    "bert": (BertModel, BertConfig(**SMALL, pad_token_id=0), 0),
    "roberta": (RobertaModel, RobertaConfig(**SMALL, pad_token_id=1), 1),
    "mpnet": (MPNetModel, MPNetConfig(**SMALL, pad_token_id=1), 1),
    "distilbert": (DistilBertModel, DistilBertConfig(**DISTIL, pad_token_id=0), 0),
    "electra": (ElectraModel, ElectraConfig(**SMALL, embedding_size=8, pad_token_id=0), 0),
    "gpt2": (GPT2Model, GPT2Config(**CAUSAL), 0),
}
STAGES = {"electra": 1, "gpt2": 5}


def loaded(family: str, **preprocessing: object) -> Loaded:
    kind, config, _ = FAMILIES[family]
    torch.manual_seed(0)
    options = {} if family in ("distilbert", "electra", "gpt2") else {"add_pooling_layer": False}
    module = kind(config, **options).eval()
    source = tiny.loaded(0).source
    sealed = {**source.preprocessing, **preprocessing}
    source = dataclasses.replace(source, preprocessing=sealed)
    return Loaded(source, module, {"library": "transformers", "architecture": family}, None)


def inputs(family: str) -> dict[str, torch.Tensor]:
    """Five rows of 3 to 12 tokens, padded with the family's number."""
    pad = FAMILIES[family][2]
    lengths = torch.tensor([12, 3, 7, 5, 12])
    mask = torch.arange(12)[None, :] < lengths[:, None]
    ids = torch.randint(5, 90, (5, 12), generator=torch.Generator().manual_seed(1))
    return {"ids": torch.where(mask, ids, pad), "mask": mask}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_says_what_its_network_says(family: str) -> None:
    made, batch = loaded(family), inputs(family)
    backbone = backbones.stage(made)
    staging.verify(backbone, backbones.reference(made, batch), batch)
    assert len(backbone.stages) == STAGES.get(family, 4)
    assert backbone.companions == (family != "electra")


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "electra"])
def test_a_row_alone_is_a_row_in_company(family: str) -> None:
    backbone, batch = backbones.stage(loaded(family)).eval(), inputs(family)
    with torch.no_grad():
        mixed = backbone.pool(backbone.run(batch))
        for row in range(5):
            n = int(batch["mask"][row].sum())
            alone = {k: v[row : row + 1, :n] for k, v in batch.items()}
            found = backbone.pool(backbone.run(alone))[0]
            assert torch.allclose(found, mixed[row], atol=1e-5)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "electra"])
def test_a_state_stripped_and_padded_anew_goes_on_alike(family: str) -> None:
    """Padding of another length, and rubbish in it, changes nothing above any cut."""
    backbone, batch = backbones.stage(loaded(family)).eval(), inputs(family)
    with torch.no_grad():
        whole = backbone.pool(backbone.run(batch))
        for cut in range(1, len(backbone.stages) + 1):
            kept = backbone.run(batch, stop=cut)
            wider = torch.full((5, 20, 16), 7.0)
            wider[:, :12] = torch.where(kept["mask"][..., None], kept["hidden"], 7.0)
            mask = torch.zeros(5, 20, dtype=torch.bool)
            mask[:, :12] = kept["mask"]
            found = backbone.pool(backbone.run({"hidden": wider, "mask": mask}, start=cut))
            assert torch.allclose(found, whole, atol=1e-5), cut


@pytest.mark.parametrize("family", FAMILIES)
def test_windows_of_a_row_are_read_apart(family: str) -> None:
    """Two windows of one row, and one of another, say what three rows say."""
    made, batch = loaded(family), inputs(family)
    backbone, ids = backbones.stage(made).eval(), batch["ids"]
    joined = torch.zeros(2, 24, dtype=torch.int64)
    joined[0], joined[1, :12] = torch.cat([ids[0], ids[4]]), ids[0]
    state = {
        "ids": joined,
        "mask": torch.arange(24)[None] < torch.tensor([[24], [12]]),
        "windows": torch.tensor([[0] * 12 + [1] * 12, [0] * 24]),
        "starts": torch.ones(2, 24, dtype=torch.int64),
    }
    with torch.no_grad():
        staging.verify(backbone, backbones.reference(made, state), state)
        apart = backbone.run({k: v[[0, 4]] for k, v in batch.items()})["hidden"]
        found = backbone.run(state)
        assert torch.allclose(found["hidden"][0], apart.flatten(0, 1), atol=1e-5)
        assert torch.allclose(found["hidden"][1, :12], apart[0], atol=1e-5)
    assert found.keys() >= {"windows", "starts", "mask"}


def test_both_attention_implementations_agree() -> None:
    batch = inputs("bert")
    made = loaded("bert")
    with torch.no_grad():
        fused = backbones.stage(made).eval()
        first = fused.pool(fused.run(batch))
        made.module.config._attn_implementation = "eager"
        second = fused.pool(fused.run(batch))
    assert torch.allclose(first, second, atol=1e-5)


def test_wrong_staging_is_noticed() -> None:
    made, batch = loaded("bert"), inputs("bert")
    said = backbones.reference(made, batch)
    backbone = backbones.stage(made)
    with torch.no_grad():
        made.module.encoder.layer[1].output.dense.bias[0] += 2.0
    with pytest.raises(ContractError, match="last hidden states"):
        staging.verify(backbone, said, batch)


@pytest.mark.parametrize("pooling", backbones.POOLINGS)
def test_poolings_are_those_of_sentence_transformers(pooling: str) -> None:
    library = pytest.importorskip("sentence_transformers.models")
    names = {"last": "lasttoken", "mean_sqrt_len": "mean_sqrt_len_tokens"}
    layer = library.Pooling(16, pooling_mode=names.get(pooling, pooling))
    backbone, batch = backbones.stage(loaded("bert", pooling=pooling)).eval(), inputs("bert")
    with torch.no_grad():
        state = backbone.run(batch)
        told = {"token_embeddings": state["hidden"].clone(), "attention_mask": batch["mask"].long()}
        expected = layer(told)["sentence_embedding"]
        assert torch.allclose(backbone.pool(state), expected, atol=1e-5)


def test_normalised_features_have_length_one() -> None:
    backbone = backbones.stage(loaded("bert", normalise=True)).eval()
    with torch.no_grad():
        norms = backbone.pool(backbone.run(inputs("bert"))).norm(dim=1)
    assert torch.allclose(norms, torch.ones(5), atol=1e-5)


def test_an_unknown_pooling_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SourceError, match="known are mean"):
        backbones.stage(loaded("bert", pooling="attention"))


def test_a_network_of_another_library_is_refused() -> None:
    made = dataclasses.replace(loaded("bert"), config={"library": "timm"})
    with pytest.raises(SourceError, match="cannot read text"):
        backbones.stage(made)


def test_shared_position_bias_of_mpnet_is_frozen_with_its_first_layer() -> None:
    backbone = backbones.stage(loaded("mpnet"))
    assert backbone.stage_of("network.encoder.relative_attention_bias.weight") == 1
    assert backbone.stage_of("network.embeddings.word_embeddings.weight") == 0
    assert backbone.stage_of("network.encoder.layer.2.output.dense.weight") == 3


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_token_of_gpt2_sees_nothing_that_follows(attention: str) -> None:
    made, batch = loaded("gpt2", pooling="last"), inputs("gpt2")
    made.module.config._attn_implementation = attention
    backbone = backbones.stage(made).eval()
    staging.verify(backbone, backbones.reference(made, batch), batch)
    changed = {**batch, "ids": batch["ids"].clone()}
    changed["ids"][:, 2] = (changed["ids"][:, 2] + 1) % 90
    with torch.no_grad():
        first, second = (backbone.run(b)["hidden"] for b in (batch, changed))
    assert torch.equal(first[:, :2], second[:, :2])
    assert not torch.allclose(first[:, 2:], second[:, 2:], atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_gpt2_pools_real_tokens_whatever_stands_behind_them(pooling: str) -> None:
    backbone, batch = backbones.stage(loaded("gpt2", pooling=pooling)).eval(), inputs("gpt2")
    rubbish = torch.where(batch["mask"], batch["ids"], 77)
    with torch.no_grad():
        hidden = backbone.run(batch)["hidden"]
        found = backbone.pool(backbone.run({**batch, "ids": rubbish}))
    ends = batch["mask"].sum(1)
    for row, end in enumerate(ends):
        places = slice(0, end) if pooling == "mean" else slice(end - 1, end)
        assert torch.allclose(found[row], hidden[row, places].mean(0), atol=1e-5)


def test_every_tensor_of_gpt2_has_its_stage() -> None:
    backbone = backbones.stage(loaded("gpt2"))
    assert backbone.stage_of("network.wpe.weight") == 0
    assert backbone.stage_of("network.h.1.attn.c_attn.weight") == 2
    assert backbone.stage_of("network.ln_f.bias") == 4


def test_tokens_are_known_by_what_they_stand_for() -> None:
    for maker, onward in ((tiny.loaded, False), (tiny.onward, True)):
        backbone = backbones.stage(maker(0))
        known = backbone.vocabulary
        assert known.onward is onward
        assert known.blank == 4
        assert set(known.special) >= {0, 1, 2, 3, 4}
        assert len(backbone.get_parameter(known.embedding)) == known.size


@pytest.mark.parametrize("onward", [False, True])
def test_which_way_an_unstaged_network_sees_is_found_by_trying(onward: bool) -> None:
    made = (tiny.onward if onward else tiny.loaded)(0)
    assert backbones.Whole(made).vocabulary.onward is onward
