"""Modules that a person built, seen as networks of ours; and the callback where Lightning is missing."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torchvision import models
from transformers import BertConfig, BertForSequenceClassification

import headstart as hs
from headstart.errors import MissingExtra, PlanError
from headstart.foreign import Foreign


class Holder(nn.Module):
    """A backbone, and a head beside it."""

    def __init__(self, model: nn.Module, width: int = 4) -> None:
        super().__init__()
        self.model, self.head = model, nn.Linear(width, 2)


@pytest.mark.parametrize(
    ("name", "head"),
    [("resnet10t", "fc"), ("convnext_atto", "head.fc"), ("vit_tiny_patch16_224", "head")],
)
def test_a_classifier_inside_is_taken_for_the_head_and_stays_where_it_is(
    name: str, head: str
) -> None:
    """The stages share every tensor with the person's network, whose own structure is left alone."""
    module = Holder(timm.create_model(name, num_classes=2))
    before = [(n, id(m)) for n, m in module.model.named_modules()]
    found = Foreign(module, "model", f"model.{head}")
    ours = {id(p) for p in found.network.parameters()}
    assert ours == {id(p) for p in module.model.parameters()}
    assert [(n, id(m)) for n, m in module.model.named_modules()] == before
    heads = {id(p) for p in found.network.heads.parameters()}
    assert heads == {id(p) for p in module.model.get_submodule(head).parameters()}
    assert not heads & {id(p) for p in found.network.backbone.parameters()}


def test_modules_that_are_exchanged_in_the_stages_are_exchanged_in_the_network() -> None:
    module = Holder(timm.create_model("resnet10t", num_classes=2))
    found = Foreign(module, "model", "model.fc")
    other = nn.Identity()
    found.network.backbone.net.maxpool = other  # type: ignore[union-attr]
    found.sync()
    assert module.model.maxpool is other and isinstance(module.model.fc, nn.Linear)


def test_a_network_of_torchvision_is_staged_without_its_classifier() -> None:
    module = Holder(models.get_model("resnet18", weights=None, num_classes=2))
    found = Foreign(module, "model", "model.fc")
    assert len(found.network.backbone.stages) == 9 and found.network.backbone.width == 512


def test_what_is_no_backbone_is_refused_with_the_right_name() -> None:
    with torch.random.fork_rng(devices=[]):
        small = BertConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
        )
        bert = Holder(BertForSequenceClassification(small))
    with pytest.raises(PlanError, match=r"backbone='model\.bert'"):
        Foreign(bert, "model", "model.classifier")
    assert (
        Foreign(bert, "model.bert", "model.classifier").network.backbone.stages[0] == "embeddings"
    )
    with pytest.raises(PlanError, match=r"head='model\.fc'"):
        Foreign(Holder(timm.create_model("resnet10t", num_classes=2)), "model", "head")
    with pytest.raises(PlanError, match=r"head='model\.fc'"):
        Foreign(Holder(models.get_model("resnet18", weights=None)), "model", "head")
    with pytest.raises(PlanError, match="expected a network of timm"):
        Foreign(Holder(nn.Linear(2, 2)), "model", "head")
    with pytest.raises(PlanError, match="no backbone 'modle'"):
        Foreign(Holder(nn.Linear(2, 2)), "modle", "head")


def test_without_lightning_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.lightning.library", None)
    with pytest.raises(MissingExtra, match=r"headstart\[lightning\]"):
        hs.StrategyCallback("fine_tune")
