"""Tiny data, transforms and backbones for the engine's tests; no modality is involved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from headstart.core import digest
from headstart.core.dataset import Field
from headstart.core.network import Backbone
from headstart.errors import BadRow


class Numbers:
    """Rows of numbers as bytes; row i of `values` is one sample."""

    modality = "numbers"
    fields = (Field("x", "bytes"),)
    set_aside = ()

    def __init__(self, values: Sequence[np.ndarray]) -> None:
        self.values = values

    @property
    def digest(self) -> str:
        return digest.value([v.tolist() for v in self.values])

    def __len__(self) -> int:
        return len(self.values)

    def digests(self, rows: np.ndarray) -> list[bytes]:
        return [digest.row(self.values[r].tobytes()) for r in rows]

    def samples(self, rows: np.ndarray) -> list[Mapping[str, object]]:
        return [{"x": self.values[r]} for r in rows]

    def targets(self, rows: np.ndarray) -> list[int]:
        return [0 for _ in rows]

    def names(self, rows: np.ndarray) -> list[str]:
        return [f"row {r}" for r in rows]

    def metadata(self, rows: np.ndarray) -> Mapping[str, Sequence[object]]:
        return {}


def pictures(count: int, side: int = 8, seed: int = 0) -> Numbers:
    draw = np.random.default_rng(seed)
    return Numbers([draw.normal(size=(3, side, side)).astype(np.float32) for _ in range(count)])


def sentences(count: int, seed: int = 0) -> Numbers:
    draw = np.random.default_rng(seed)
    return Numbers([draw.integers(1, 50, draw.integers(2, 12)) for _ in range(count)])


class Scale:
    """Pictures times a constant; a picture that starts with NaN is refused."""

    def __init__(self, constant: float = 1.0) -> None:
        self.constant = constant
        self.digest = digest.value(["scale", constant])
        self.counts: dict[str, int] = {}

    def __call__(self, sample, rng=None):
        x = sample["x"]
        if np.isnan(x.flat[0]):
            raise BadRow("the first number is missing", "fill it in")
        if rng is not None:
            x = x + rng.normal(size=x.shape).astype(np.float32)
        return {"pixels": x * np.float32(self.constant)}

    def length(self, arrays) -> int:
        return 1

    def collate(self, items):
        return {"pixels": torch.from_numpy(np.stack([i["pixels"] for i in items]))}

    def state(self):
        return {"constant": self.constant}

    def profile(self, name):
        return self


class Words(Scale):
    """Word numbers, padded with zeros at the end."""

    def __call__(self, sample, rng=None):
        return {"ids": np.asarray(sample["x"], np.int64)}

    def length(self, arrays) -> int:
        return len(arrays["ids"])

    def collate(self, items):
        longest = max(len(i["ids"]) for i in items)
        ids = torch.zeros(len(items), longest, dtype=torch.int64)
        mask = torch.zeros(len(items), longest, dtype=torch.bool)
        for row, item in enumerate(items):
            ids[row, : len(item["ids"])] = torch.from_numpy(item["ids"])
            mask[row, : len(item["ids"])] = True
        return {"ids": ids, "mask": mask}


class Picture(Backbone):
    """Two convolutions in two stages, pooled by the mean."""

    stages = ("one", "two")
    width = 6

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.two = nn.Conv2d(4, 6, 3, stride=2)
        self.one[1].running_mean.normal_()
        self.eval()
        self.passed: list[int] = []

    def run(self, state, start=0, stop=None):
        x = state["pixels"] if start == 0 else state["maps"]
        exported = torch.jit.is_tracing() or torch.compiler.is_compiling()
        if start == 0 and not exported:
            self.passed.append(len(x))
        for stage in (self.one, self.two)[start:stop]:
            x = stage(x)
        return {"pixels" if stop == 0 else "maps": x}

    def pool(self, state):
        return state["maps"].mean((2, 3))


class Sentence(Backbone):
    """Embedding and one attention layer; the mean over real words."""

    stages = ("embed", "attend")
    ragged = ("words",)
    width = 8

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(50, 8)
        self.query, self.value = nn.Linear(8, 8), nn.Linear(8, 8)
        self.eval()

    def run(self, state, start=0, stop=None):
        mask = state["mask"]
        x = self.embed(state["ids"]) if start == 0 and stop != 0 else state.get("words")
        if stop == 0:
            return dict(state)
        if start < 2 and (stop is None or stop > 1):
            score = self.query(x) @ x.transpose(1, 2) / 8**0.5
            score = score.masked_fill(~mask[:, None, :], -1e9)
            x = x + score.softmax(-1) @ self.value(x)
        return {"words": x, "mask": mask}

    def pool(self, state) -> Tensor:
        weight = state["mask"].unsqueeze(-1).float()
        return (state["words"] * weight).sum(1) / weight.sum(1)
