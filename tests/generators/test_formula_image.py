"""The built-in image source: card and weights agree, and the features are better than random."""

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors.torch
import timm
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional

from headstart.generators.scenes import Counts

WEIGHTS = Path(__file__).parents[2] / "headstart" / "weights"
CARD = json.loads((WEIGHTS / "formula_image.json").read_text())


def _network(*, trained: bool) -> nn.Module:
    torch.manual_seed(0)
    network = timm.create_model(
        CARD["architecture"], num_classes=CARD["num_classes"], **CARD["arguments"]
    )
    if trained:
        kept = safetensors.torch.load_file(WEIGHTS / "formula_image.safetensors")
        network.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in kept.items()}
        )
    return network.eval()


def test_card_names_this_file_and_fits_it() -> None:
    file = WEIGHTS / "formula_image.safetensors"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == CARD["sha256"]
    assert file.stat().st_size <= 8 * 2**20
    assert sum(p.numel() for p in _network(trained=True).parameters()) == CARD["parameters"]


def test_outputs_are_the_generators_classes() -> None:
    assert CARD["num_classes"] == sum(Counts().groups)


def test_features_tell_digits_apart_better_than_random_ones() -> None:
    digits = load_digits()
    pictures = torch.tensor(digits.images[:400] / 16, dtype=torch.float32)[:, None]
    pictures = functional.interpolate(
        pictures.expand(-1, 3, -1, -1), tuple(CARD["input_size"][1:]), mode="bicubic"
    ).clamp(0, 1)
    pictures = (pictures - CARD["mean"][0]) / CARD["std"][0]
    scores = []
    for trained in (True, False):
        network = _network(trained=trained)
        with torch.no_grad():
            rows = network.forward_head(network.forward_features(pictures), pre_logits=True)
        rows = np.asarray((rows - rows[:100].mean(0)) / (rows[:100].std(0) + 1e-6))
        head = LogisticRegression(C=0.01).fit(rows[:100], digits.target[:100])
        scores.append(head.score(rows[100:], digits.target[100:400]))
    assert scores[0] > scores[1] + 0.05
